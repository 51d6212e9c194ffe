# SPDX-License-Identifier: Apache-2.0
# cafe_library(NAME LAYERS layer... [PRIVATE layer...] [REQUIRES prefix...] [REQUIRES_PRIVATE prefix...])
#
# Makes cafe::NAME, static and shared, of the LAYERS. PRIVATE layers are copied in, hidden, as far as they
# are needed: internals never cross the border between two installed libraries. REQUIRES are pkg-config
# prefixes (MSGPACK, LIBUV, SQLITE3) of what the public headers include too. A library whose layers have no
# sources is not made.
#
# Both kinds are always built, of the same objects; BUILD_SHARED_LIBS chooses what cafe::NAME means.
set(CAFE_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/cafe")

function(cafe_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LAYERS;PRIVATE;REQUIRES;REQUIRES_PRIVATE")
  if(name STREQUAL "cafe")
    set(target cafe)
  else()
    set(target cafe_${name})
  endif()

  set(own_targets "")
  set(own "")
  set(system "")
  foreach(layer IN LISTS arg_LAYERS)
    if(TARGET cafe_${layer})
      list(APPEND own_targets cafe_${layer})
      list(APPEND own "$<TARGET_OBJECTS:cafe_${layer}>")
      get_target_property(links cafe_${layer} CAFE_LINKS)
      if("Threads::Threads" IN_LIST links)
        set(system Threads::Threads)
      endif()
    endif()
  endforeach()
  if(NOT own)
    message(STATUS "Library ${target}: no sources")
    return()
  endif()
  set(private_targets "")
  set(private "")
  foreach(layer IN LISTS arg_PRIVATE)
    if(TARGET cafe_${layer})
      list(APPEND private_targets cafe_${layer})
      list(APPEND private "$<TARGET_OBJECTS:cafe_${layer}>")
    endif()
  endforeach()

  set(object "${PROJECT_BINARY_DIR}/lib/${target}.o")
  add_custom_command(OUTPUT "${object}"
    COMMAND "${PROJECT_SOURCE_DIR}/lib/cmake/prelink.sh" "${object}"
      "${CMAKE_LINKER}" "${CMAKE_OBJCOPY}" "${CMAKE_NM}" "${CMAKE_AR}" ${own} -- ${private}
    DEPENDS ${own} ${private} "${PROJECT_SOURCE_DIR}/lib/cmake/prelink.sh"
    COMMENT "Prelinking ${target}" COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(${target}_object DEPENDS "${object}")
  # Make knows the objects of another folder as files only, not how they come to be.
  add_dependencies(${target}_object ${own_targets} ${private_targets})
  set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)

  set(requires ${arg_REQUIRES})
  list(TRANSFORM requires PREPEND "PkgConfig::")
  set(requires_private ${arg_REQUIRES_PRIVATE})
  list(TRANSFORM requires_private PREPEND "PkgConfig::")
  foreach(kind static shared)
    string(TOUPPER ${kind} type)
    add_library(${target}_${kind} ${type} "${object}")
    add_dependencies(${target}_${kind} ${target}_object)
    set_target_properties(${target}_${kind} PROPERTIES
      LINKER_LANGUAGE C OUTPUT_NAME ${target} EXPORT_NAME ${name}_${kind}
      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
    target_include_directories(${target}_${kind} INTERFACE
      "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
    target_link_libraries(${target}_${kind} PUBLIC ${requires} PRIVATE ${requires_private} ${system})
    if(NOT name STREQUAL "cafe")
      target_link_libraries(${target}_${kind} PUBLIC cafe_${kind})
    endif()
    install(TARGETS ${target}_${kind} EXPORT cafe-${name}-${kind}
      LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(EXPORT cafe-${name}-${kind} NAMESPACE cafe:: DESTINATION "${CAFE_PACKAGE_DIR}")
  endforeach()
  if(NOT CAFE_SANITIZE)
    # What a sanitizer's runtime provides is in the program only.
    target_link_options(${target}_shared PRIVATE -Wl,--no-undefined)
  endif()

  if(BUILD_SHARED_LIBS)
    add_library(cafe::${name} ALIAS ${target}_shared)
  else()
    add_library(cafe::${name} ALIAS ${target}_static)
  endif()
  set_property(GLOBAL APPEND PROPERTY CAFE_LIBRARIES ${name})

  set(PC_NAME "${target}")
  set(PC_REQUIRES "")
  if(NOT name STREQUAL "cafe")
    set(PC_REQUIRES "cafe = ${PROJECT_VERSION}")
  endif()
  foreach(prefix IN LISTS arg_REQUIRES)
    list(APPEND PC_REQUIRES ${${prefix}_MODULE_NAME})
  endforeach()
  set(PC_REQUIRES_PRIVATE "")
  foreach(prefix IN LISTS arg_REQUIRES_PRIVATE)
    list(APPEND PC_REQUIRES_PRIVATE ${${prefix}_MODULE_NAME})
  endforeach()
  list(JOIN PC_REQUIRES ", " PC_REQUIRES)
  list(JOIN PC_REQUIRES_PRIVATE ", " PC_REQUIRES_PRIVATE)
  set(PC_LIBS_PRIVATE "")
  if(system)
    set(PC_LIBS_PRIVATE "${CMAKE_THREAD_LIBS_INIT}")
  endif()
  # Relative to the .pc file, so that an installed tree can be moved or packed.
  set(pc_dir "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig")
  file(RELATIVE_PATH PC_PREFIX "${pc_dir}" "${CMAKE_INSTALL_PREFIX}")
  string(REPLACE "_" "-" pc "${target}")
  configure_file("${PROJECT_SOURCE_DIR}/lib/cmake/cafe.pc.in" "${PROJECT_BINARY_DIR}/lib/${pc}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/lib/${pc}.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endfunction()

function(cafe_install_package)
  include(CMakePackageConfigHelpers)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/cafe" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
    FILES_MATCHING PATTERN "*.h")
  configure_package_config_file("${PROJECT_SOURCE_DIR}/lib/cmake/cafe-config.cmake.in"
    "${PROJECT_BINARY_DIR}/lib/cafe-config.cmake" INSTALL_DESTINATION "${CAFE_PACKAGE_DIR}"
    NO_SET_AND_CHECK_MACRO)
  # Before 1.0 a minor version may change the ABI.
  write_basic_package_version_file("${PROJECT_BINARY_DIR}/lib/cafe-config-version.cmake"
    COMPATIBILITY SameMinorVersion)
  install(FILES "${PROJECT_BINARY_DIR}/lib/cafe-config.cmake" "${PROJECT_BINARY_DIR}/lib/cafe-config-version.cmake"
    DESTINATION "${CAFE_PACKAGE_DIR}")
endfunction()
