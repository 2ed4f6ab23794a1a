# The layer check runs before anything else is built and fails the build on an include that the table does not allow.
add_custom_target(margay_layers ALL
  COMMAND "${CMAKE_COMMAND}" -DROOT=${CMAKE_SOURCE_DIR} -P "${CMAKE_SOURCE_DIR}/cmake/CheckLayers.cmake"
  COMMENT "Checking who includes whom" VERBATIM)
