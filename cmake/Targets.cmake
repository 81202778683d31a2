# How every target of the project is compiled.
add_library(divs_options INTERFACE)
target_include_directories(divs_options INTERFACE ${CMAKE_SOURCE_DIR}/include)
# nvcc has its own (Cuda.cmake).
target_compile_options(divs_options INTERFACE
  "$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wno-missing-field-initializers>")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(divs_options INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Wno-restrict>)  # warns of sound std::string code (GCC bug 105651)
endif()
if(DIVS_WERROR)
  target_compile_options(divs_options INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Werror>)
endif()
foreach(sanitizer IN LISTS DIVS_SANITIZE)
  target_compile_options(divs_options INTERFACE -fsanitize=${sanitizer} -fno-omit-frame-pointer)
  target_link_options(divs_options INTERFACE -fsanitize=${sanitizer})
endforeach()
if(DIVS_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Instrumented code makes GCC take sound library code for uninitialised, as its manual warns.
  target_compile_options(divs_options INTERFACE -Wno-maybe-uninitialized)
endif()
if("undefined" IN_LIST DIVS_SANITIZE)
  # Checked at every access, these two take a third of the compiler's time. AddressSanitizer sees a null pointer too, and
  # numbers in the middle of bytes are copied out, never pointed at.
  target_compile_options(divs_options INTERFACE -fno-sanitize-recover=undefined -fno-sanitize=null,alignment)
endif()

# divs_room(NAME SOURCES ... LINK ...): the static library of one folder of src/.
function(divs_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINK" ${ARGN})
  if(ROOM_SOURCES)
    add_library(divs_${name} STATIC ${ROOM_SOURCES})
    target_include_directories(divs_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(divs_${name} PUBLIC divs_options ${ROOM_LINK})
  else()
    add_library(divs_${name} INTERFACE)
    target_link_libraries(divs_${name} INTERFACE divs_options ${ROOM_LINK})
  endif()
endfunction()
