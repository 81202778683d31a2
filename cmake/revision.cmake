# Writes the header that says which revision this is; run at build time, touches the file only when it changes.
find_package(Git QUIET)
set(revision unknown)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE} rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(revision ${found})
    execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE} status --porcelain --untracked-files=no
                    OUTPUT_VARIABLE changed ERROR_QUIET)
    if(changed)
      string(APPEND revision "+")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT "#pragma once
#define DIVS_VERSION \"${VERSION}\"
#define DIVS_REVISION \"${revision}\"
#define DIVS_COMPILER \"${COMPILER}\"
#define DIVS_BUILD_TYPE \"${BUILD_TYPE}\"
")
