# CUDA, for the plugin libdivs_cuda.so alone: the program itself links nothing of it.
#   DIVS_CUDA=ON                build the plugin (needs nvcc; no GPU and no driver)
#   CMAKE_CUDA_ARCHITECTURES    Ampere, Hopper with its own instructions, Blackwell and what comes after it
option(DIVS_CUDA "Build the CUDA backend" OFF)
if(NOT DIVS_CUDA)
  return()
endif()

if(NOT CMAKE_CUDA_COMPILER)
  find_program(DIVS_NVCC nvcc HINTS /usr/local/cuda/bin ENV CUDA_HOME PATH_SUFFIXES bin)
  if(DIVS_NVCC)
    set(CMAKE_CUDA_COMPILER ${DIVS_NVCC})
  endif()
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 100-real 100-virtual)
endif()
if(DIVS_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${DIVS_CCACHE})
endif()
enable_language(CUDA)
# CMake 3.25 does not know that this nvcc speaks C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
find_package(CUDAToolkit REQUIRED)

# cuDNN and NCCL lie in the toolkit's folder or in the system's; without one of them the plugin is built without
# what needs it.
function(divs_cuda_library target header library)
  find_path(${target}_INCLUDE_DIR ${header} HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(${target}_LIBRARY ${library} HINTS ${CUDAToolkit_LIBRARY_DIR})
  if(${target}_INCLUDE_DIR AND ${target}_LIBRARY)
    add_library(CUDA::${target} INTERFACE IMPORTED GLOBAL)
    target_include_directories(CUDA::${target} SYSTEM INTERFACE ${${target}_INCLUDE_DIR})
    target_link_libraries(CUDA::${target} INTERFACE ${${target}_LIBRARY})
  endif()
endfunction()
divs_cuda_library(cudnn cudnn.h cudnn)
divs_cuda_library(nccl nccl.h nccl)

# How every file that nvcc compiles is compiled; ptxas tells what each kernel takes (test/gpu/check_resources.py).
add_library(divs_cuda_options INTERFACE)
target_include_directories(divs_cuda_options INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/kernels
  ${CMAKE_SOURCE_DIR}/kernels/device)
target_include_directories(divs_cuda_options SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
target_compile_options(divs_cuda_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;--extra-device-vectorization;-Xptxas=-v;-Xcompiler=-Wall,-Wextra,-Wshadow>")
if(DIVS_WERROR)
  target_compile_options(divs_cuda_options INTERFACE
    "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Werror>")
endif()
