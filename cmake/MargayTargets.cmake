# Target helpers: margay_library, margay_program, margay_test, margay_fuzzer, margay_bench.
# Flags live on one interface target, so that no target can forget a warning.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

add_library(margay_flags INTERFACE)
target_include_directories(margay_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_options(margay_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi -Wimplicit-fallthrough
  $<$<BOOL:${MARGAY_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 warns about missing designated initialisers even where a default member initialiser exists, and its
  # flow-based warnings misfire on inlined library code when optimising.
  target_compile_options(margay_flags INTERFACE -Wno-missing-field-initializers -Wno-array-bounds
    -Wno-stringop-overflow -Wno-stringop-overread -Wno-restrict -Wno-maybe-uninitialized -Wno-free-nonheap-object)
else()
  target_compile_options(margay_flags INTERFACE -Wno-missing-field-initializers -Wno-unused-command-line-argument)
endif()
if(MARGAY_SANITIZE)
  add_compile_options(-fsanitize=${MARGAY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MARGAY_SANITIZE})
  if(MARGAY_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Asio's fences are a warning there; it synchronises by mutexes as well, which the sanitizer sees.
    add_compile_options(-Wno-tsan)
  endif()
endif()
if(MARGAY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
# Debug information for line numbers in back traces only: a full -g doubles build time and disk.
string(REPLACE "-g" "-g1" CMAKE_CXX_FLAGS_DEBUG "${CMAKE_CXX_FLAGS_DEBUG}")
string(REPLACE "-g" "-g1" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")
add_link_options(-fuse-ld=gold)

if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wno-subobject-linkage)  # names without linkage are still of one translation unit each
endif()

# What people run, and what is measured; tests are neither.
add_custom_target(margay_programs)
add_custom_target(margay_benches)
# Targets built for the sanitizer presets: everything labelled unit or flow.
add_custom_target(margay_pure_tests)
add_custom_target(margay_fuzzers)

# margay_library(NAME margay_base SOURCES a.cpp DEPS margay_x fmt::fmt [PRIVATE_DEPS ...])
function(margay_library)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${ARG_NAME} STATIC ${ARG_SOURCES})
    target_link_libraries(${ARG_NAME} PUBLIC margay_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  else()
    add_library(${ARG_NAME} INTERFACE)
    target_link_libraries(${ARG_NAME} INTERFACE margay_flags ${ARG_DEPS})
  endif()
endfunction()

# margay_program(NAME margayd SOURCES main.cpp DEPS ...): a program people run; installed to INSTALL_DIR or bin.
function(margay_program)
  cmake_parse_arguments(ARG "NO_INSTALL" "NAME;INSTALL_DIR" "SOURCES;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  target_link_libraries(${ARG_NAME} PRIVATE margay_flags ${ARG_DEPS})
  target_compile_definitions(${ARG_NAME} PRIVATE MARGAY_VERSION="${PROJECT_VERSION}")
  if(ARG_NAME MATCHES "^bench_")
    add_dependencies(margay_benches ${ARG_NAME})
  else()
    add_dependencies(margay_programs ${ARG_NAME})
  endif()
  if(NOT ARG_NO_INSTALL)
    if(NOT ARG_INSTALL_DIR)
      set(ARG_INSTALL_DIR "${CMAKE_INSTALL_BINDIR}")
    endif()
    install(TARGETS ${ARG_NAME} RUNTIME DESTINATION "${ARG_INSTALL_DIR}")
  endif()
endfunction()

# margay_test(NAME unit_bgp_wire KIND unit SOURCES a_test.cpp DEPS ...): a doctest program and its ctest entry.
# Each test file is a translation unit of its own, also in a unity build: short names may repeat.
# KIND is unit, flow, kernel, functional or interop and becomes the ctest label; the last three need root.
function(margay_test)
  cmake_parse_arguments(ARG "" "NAME;KIND;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SOURCES})
  set_target_properties(${ARG_NAME} PROPERTIES UNITY_BUILD OFF)
  target_link_libraries(${ARG_NAME} PRIVATE margay_flags margay_test_main ${ARG_DEPS})
  target_compile_definitions(${ARG_NAME} PRIVATE MARGAY_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    MARGAY_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_KIND}" TIMEOUT ${ARG_TIMEOUT})
  if(ARG_KIND STREQUAL "functional" OR ARG_KIND STREQUAL "interop" OR ARG_KIND STREQUAL "kernel")
    set_tests_properties(${ARG_NAME} PROPERTIES RUN_SERIAL TRUE)
  endif()
  if(ARG_KIND STREQUAL "unit" OR ARG_KIND STREQUAL "flow")
    add_dependencies(margay_pure_tests ${ARG_NAME})
  endif()
endfunction()

# margay_fuzzer(NAME fuzz_bgp_update SOURCES fuzz_bgp_update.cpp CORPUS corpus/bgp_update DEPS ...)
# Under the fuzz preset: a libFuzzer program. Elsewhere: a replay of the corpus, run as a unit test.
function(margay_fuzzer)
  cmake_parse_arguments(ARG "" "NAME;CORPUS" "SOURCES;DEPS" ${ARGN})
  if(MARGAY_FUZZ)
    add_executable(${ARG_NAME} ${ARG_SOURCES})
    target_link_libraries(${ARG_NAME} PRIVATE margay_flags ${ARG_DEPS})
    target_link_options(${ARG_NAME} PRIVATE -fsanitize=fuzzer)
    add_dependencies(margay_fuzzers ${ARG_NAME})
  else()
    add_executable(${ARG_NAME}_replay ${ARG_SOURCES} "${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cpp")
    target_link_libraries(${ARG_NAME}_replay PRIVATE margay_flags ${ARG_DEPS})
    add_test(NAME ${ARG_NAME}_replay
      COMMAND ${ARG_NAME}_replay "${CMAKE_SOURCE_DIR}/tests/fuzz/${ARG_CORPUS}")
    set_tests_properties(${ARG_NAME}_replay PROPERTIES LABELS unit TIMEOUT 120)
    add_dependencies(margay_pure_tests ${ARG_NAME}_replay)
  endif()
endfunction()
