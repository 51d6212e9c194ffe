# SPDX-License-Identifier: Apache-2.0
# cafe_layer(NAME [FOLDER dir] [SOURCES glob...] [EXCLUDE glob...] [SEES dir...] [LINKS target...] [POSIX])
#
# Makes the object library cafe_NAME of lib/FOLDER/SOURCES (default: lib/NAME/*.c). Its include path holds
# the public headers and one folder of links in the build tree: its own folder of lib/ and those that it
# SEES. A header of any other layer can't be found, so a wrong include fails to compile. An include by
# "../" would get around that, and tests/abi refuses it.
#
# POSIX is for adapters; without it a source sees ISO C only, and a call to the clock or a file by
# POSIX names doesn't compile. A layer without sources makes no target.
function(cafe_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "POSIX" "FOLDER" "SOURCES;EXCLUDE;SEES;LINKS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "cafe_layer(${name}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_FOLDER)
    set(arg_FOLDER "${name}")
  endif()
  if(NOT arg_SOURCES)
    set(arg_SOURCES "*.c")
  endif()

  set(folder "${PROJECT_SOURCE_DIR}/lib/${arg_FOLDER}")
  list(TRANSFORM arg_SOURCES PREPEND "${folder}/")
  file(GLOB sources CONFIGURE_DEPENDS ${arg_SOURCES})
  if(arg_EXCLUDE)
    list(TRANSFORM arg_EXCLUDE PREPEND "${folder}/")
    file(GLOB excluded CONFIGURE_DEPENDS ${arg_EXCLUDE})
    list(REMOVE_ITEM sources ${excluded})
  endif()
  if(NOT sources)
    message(STATUS "Layer ${name}: no sources")
    return()
  endif()

  set(sees "${PROJECT_BINARY_DIR}/sees/${name}")
  set(visible ${arg_FOLDER} ${arg_SEES})
  file(MAKE_DIRECTORY "${sees}")
  # A layer that lost the right to see another must lose the link too.
  file(GLOB links RELATIVE "${sees}" "${sees}/*")
  foreach(link IN LISTS links)
    if(NOT link IN_LIST visible)
      file(REMOVE "${sees}/${link}")
    endif()
  endforeach()
  foreach(layer IN LISTS visible)
    file(CREATE_LINK "${PROJECT_SOURCE_DIR}/lib/${layer}" "${sees}/${layer}" SYMBOLIC)
  endforeach()

  add_library(cafe_${name} OBJECT ${sources})
  target_include_directories(cafe_${name} PRIVATE "${PROJECT_SOURCE_DIR}/include" "${sees}")
  target_link_libraries(cafe_${name} PRIVATE cafe_warnings ${arg_LINKS})
  if(arg_POSIX)
    target_compile_definitions(cafe_${name} PRIVATE _POSIX_C_SOURCE=200809L)
  endif()
  set_target_properties(cafe_${name} PROPERTIES
    CAFE_FOLDER "${arg_FOLDER}" CAFE_SEES "${arg_SEES}" CAFE_LINKS "${arg_LINKS}")
  set_property(GLOBAL APPEND PROPERTY CAFE_LAYERS ${name})
endfunction()
