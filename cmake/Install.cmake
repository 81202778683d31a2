# Installation, and archives that unpack anywhere and run without root: the program in bin/, the libraries that it needs
# in lib/divs/, found relative to the program, and their licences in share/doc/divs/notices/.
#
# The archive runs on the site's own Open MPI (4.x), as a cluster's launcher and network want it. -DDIVS_BUNDLE_MPI=ON
# puts Debian's Open MPI into the archive as well, with mpirun, for machines that have none.
option(DIVS_BUNDLE_MPI "Put Open MPI into the archive" OFF)

set_target_properties(divs PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/divs")
# The libraries need each other from there too: an RPATH, unlike a RUNPATH, holds for them as well.
target_link_options(divs PRIVATE -Wl,--disable-new-dtags)
install(TARGETS divs RUNTIME_DEPENDENCY_SET divs_dependencies RUNTIME DESTINATION bin)
install(FILES LICENSE README.md DESTINATION share/doc/divs)
install(DIRECTORY jobs datasets DESTINATION share/divs USE_SOURCE_PERMISSIONS)

# The C library and the loader are the node's own; a newer libstdc++ than the node's must come along.
set(excluded "ld-linux.*" "lib(c|m|dl|rt|pthread|resolv|util)\\.so.*")
if(NOT DIVS_BUNDLE_MPI)
  list(APPEND excluded "libmpi.*" "libopen-(pal|rte).*" "libhwloc.*" "libevent.*" "libpmix.*")
endif()
install(RUNTIME_DEPENDENCY_SET divs_dependencies PRE_EXCLUDE_REGEXES ${excluded} LIBRARY DESTINATION lib/divs)
install(CODE "set(NOTICES_ROOT \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
include(\"${CMAKE_SOURCE_DIR}/cmake/notices.cmake\")")

if(DIVS_BUNDLE_MPI)
  install(CODE "set(MPI_ROOT \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
set(MPI_LIBRARIES_FOLDER \"/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}\")
include(\"${CMAKE_SOURCE_DIR}/cmake/bundle_mpi.cmake\")")
  install(PROGRAMS cmake/mpirun.sh DESTINATION bin RENAME mpirun)
endif()

set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_NAME divs)
set(CPACK_PACKAGE_VENDOR DIVS)
if(DIVS_BUNDLE_MPI)
  set(CPACK_PACKAGE_FILE_NAME divs-${PROJECT_VERSION}-${CMAKE_SYSTEM_PROCESSOR}-openmpi)
else()
  set(CPACK_PACKAGE_FILE_NAME divs-${PROJECT_VERSION}-${CMAKE_SYSTEM_PROCESSOR})
endif()
set(CPACK_STRIP_FILES ON)
include(CPack)
