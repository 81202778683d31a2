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
if("address" IN_LIST DIVS_SANITIZE)
  add_library(divs_keep_libraries STATIC ${CMAKE_SOURCE_DIR}/test/sanitizers/keep_libraries.cpp)
  target_link_libraries(divs_options INTERFACE divs_keep_libraries)
  # In place of dlclose, in what libraries call as well.
  target_link_options(divs_options INTERFACE
    -Wl,--undefined=divs_keep_library,--defsym=dlclose=divs_keep_library,--export-dynamic-symbol=dlclose)
endif()
if(DIVS_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Instrumented code makes GCC take sound library code for uninitialised, as its manual warns.
  target_compile_options(divs_options INTERFACE -Wno-maybe-uninitialized)
endif()
if("undefined" IN_LIST DIVS_SANITIZE)
  target_compile_options(divs_options INTERFACE -fno-sanitize-recover=undefined)
endif()

# divs_room(NAME SOURCES ... LINK ... [COMPUTES]): the static library of one folder of src/. What COMPUTES is optimised
# even where sanitizers watch it; the others take two thirds of the time to compile as they are.
function(divs_room name)
  cmake_parse_arguments(ROOM "COMPUTES" "" "SOURCES;LINK" ${ARGN})
  if(ROOM_SOURCES)
    add_library(divs_${name} STATIC ${ROOM_SOURCES})
    target_include_directories(divs_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(divs_${name} PUBLIC divs_options ${ROOM_LINK})
    if(DIVS_SANITIZE AND ROOM_COMPUTES)
      target_compile_options(divs_${name} PRIVATE -O1)
    endif()
  else()
    add_library(divs_${name} INTERFACE)
    target_link_libraries(divs_${name} INTERFACE divs_options ${ROOM_LINK})
  endif()
endfunction()
