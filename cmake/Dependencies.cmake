# Everything that DIVS links, found once.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(LIBAV REQUIRED IMPORTED_TARGET libavformat>=59 libavcodec>=59 libavutil>=57 libswscale>=6)

# Not by its own CMake files: Debian's ask for OpenCL headers that nothing here needs.
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(divs_onednn INTERFACE)
target_include_directories(divs_onednn SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(divs_onednn INTERFACE ${DNNL_LIBRARY})
find_package(OpenMP REQUIRED COMPONENTS CXX)

find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)
add_library(divs_tomlplusplus INTERFACE)
target_include_directories(divs_tomlplusplus SYSTEM INTERFACE ${TOMLPLUSPLUS_INCLUDE_DIR})

add_library(divs_hdf5 INTERFACE)
target_include_directories(divs_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_compile_definitions(divs_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})
target_link_libraries(divs_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
