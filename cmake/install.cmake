# Installs the library, the header, the tool, the licence, a CMake package and a pkg-config file. The tree may be moved afterwards.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/nvfp4cal)

install(TARGETS nvfp4cal EXPORT nvfp4calTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/nvfp4cal.h ${PROJECT_SOURCE_DIR}/include/nvfp4cal_dlpack.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(TARGET nvfp4cal_tool)
  # The tool finds the library beside it, wherever the tree lies.
  file(RELATIVE_PATH library_dir_from_tool ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(nvfp4cal_tool PROPERTIES INSTALL_RPATH "$ORIGIN/${library_dir_from_tool}")
  install(TARGETS nvfp4cal_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(FILES ${PROJECT_SOURCE_DIR}/tools/nvfp4cal/nvfp4cal.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

install(EXPORT nvfp4calTargets NAMESPACE nvfp4cal:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/nvfp4calConfig.cmake.in ${PROJECT_BINARY_DIR}/nvfp4calConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor release may change the ABI.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/nvfp4calConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/nvfp4calConfig.cmake ${PROJECT_BINARY_DIR}/nvfp4calConfigVersion.cmake DESTINATION ${package_dir})

file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(${PROJECT_SOURCE_DIR}/nvfp4cal.pc.in ${PROJECT_BINARY_DIR}/nvfp4cal.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/nvfp4cal.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
