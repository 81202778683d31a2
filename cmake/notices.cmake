# At installation: the copyright files of the packages whose libraries were put into lib/divs, and what they mean together.
file(GLOB libraries "${NOTICES_ROOT}/lib/divs/*.so*")
set(notices "${NOTICES_ROOT}/share/doc/divs/notices")
foreach(library IN LISTS libraries)
  get_filename_component(name "${library}" NAME)
  execute_process(COMMAND dpkg-query -S "*-linux-gnu*/${name}" OUTPUT_VARIABLE owner ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed AND owner MATCHES "^([^:,]+)")
    set(package "${CMAKE_MATCH_1}")
    if(EXISTS "/usr/share/doc/${package}/copyright" AND NOT EXISTS "${notices}/${package}")
      configure_file("/usr/share/doc/${package}/copyright" "${notices}/${package}" COPYONLY)
    endif()
  endif()
endforeach()
if(libraries)
  file(WRITE "${notices}/README" "DIVS itself is under the Apache License 2.0 (../LICENSE).

The libraries in lib/divs come from the distribution that this archive was built on; the files beside this one are their
copyright notices, one a package. Debian builds FFmpeg with x264 and x265, which puts libavcodec and its kin, and with
them this archive as a whole, under the GNU General Public License, version 2 or later. The sources of each package are
the distribution's: apt-get source PACKAGE.
")
endif()
