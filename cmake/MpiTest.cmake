# divs_mpi_test(NAME SOURCES ... LINK ... RANKS 1 2 4 [ARGS ...] [TIMEOUT seconds] [VARIANT name]
# [LIBRARY target, which DIVS_NCCL then names]): one executable,
# test_mpi_NAME, with the World of test/mpi/world.hpp, run under mpirun once for each number of ranks. Called again for
# a NAME that exists, without SOURCES, it adds runs with other ARGS under the VARIANT's name.
add_library(divs_mpi_test_main OBJECT ${CMAKE_CURRENT_SOURCE_DIR}/mpi/main.cpp)
target_link_libraries(divs_mpi_test_main PUBLIC divs_comm divs_catch)

# More ranks than cores, as root too, none bound to a core.
set(DIVS_MPI_ENVIRONMENT
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
  OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
  "TSAN_OPTIONS=ignore_noninstrumented_modules=1 halt_on_error=1"
  "LSAN_OPTIONS=suppressions=${CMAKE_CURRENT_SOURCE_DIR}/sanitizers/lsan.supp print_suppressions=0")

function(divs_mpi_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT;VARIANT;LIBRARY" "SOURCES;LINK;RANKS;ARGS" ${ARGN})
  if(TEST_SOURCES)
    add_executable(test_mpi_${name} ${TEST_SOURCES})
    set_target_properties(test_mpi_${name} PROPERTIES UNITY_BUILD ON)
    target_include_directories(test_mpi_${name} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/test)
    target_link_libraries(test_mpi_${name} PRIVATE divs_mpi_test_main ${TEST_LINK})
  endif()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  if(TEST_VARIANT)
    set(TEST_VARIANT " (${TEST_VARIANT})")
  endif()
  set(environment "${DIVS_MPI_ENVIRONMENT}")
  if(TEST_LIBRARY)
    add_dependencies(test_mpi_${name} ${TEST_LIBRARY})
    list(APPEND environment "DIVS_NCCL=$<TARGET_FILE:${TEST_LIBRARY}>")
  endif()
  foreach(ranks IN LISTS TEST_RANKS)
    set(test "mpi ${name}${TEST_VARIANT}: ${ranks} rank(s)")
    add_test(NAME ${test}
      COMMAND timeout -k 10 ${TEST_TIMEOUT} ${MPIEXEC_EXECUTABLE} --tag-output -n ${ranks} $<TARGET_FILE:test_mpi_${name}> ${TEST_ARGS})
    math(EXPR limit "${TEST_TIMEOUT} + 20")
    set(labels mpi)
    if(ranks EQUAL 2)
      list(APPEND labels threads)  # what ThreadSanitizer watches
    endif()
    set_tests_properties(${test} PROPERTIES TIMEOUT ${limit} PROCESSORS ${ranks} LABELS "${labels}"
      ENVIRONMENT "${environment}")
  endforeach()
endfunction()
