# Third-party packages, all from Debian 12. Names used by the folders' CMakeLists.txt:
#   fmt::fmt spdlog::spdlog margay_asio Boost::json Boost::url yaml-cpp margay_protobuf margay_grpc
#   PkgConfig::{NL,NLROUTE,NFTNL,MNL,NFTABLES,SQLITE} CLI11::CLI11
#   prometheus-cpp::core prometheus-cpp::pull doctest rapidcheck benchmark::benchmark
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_package(yaml-cpp REQUIRED)
find_package(Protobuf REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(benchmark CONFIG QUIET)
find_package(doctest CONFIG QUIET)
find_package(rapidcheck CONFIG QUIET)
pkg_check_modules(NL REQUIRED IMPORTED_TARGET libnl-3.0)
pkg_check_modules(NLROUTE REQUIRED IMPORTED_TARGET libnl-route-3.0)
pkg_check_modules(MNL REQUIRED IMPORTED_TARGET libmnl)
pkg_check_modules(NFTNL REQUIRED IMPORTED_TARGET libnftnl)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)

# gRPC without TLS, as its sockets never leave the node, and linked statically with Protobuf: as shared libraries
# they come with some fifty others, of which an agent uses little and has all mapped (docs/benchmarks.md, D10).
function(margay_archives OUT)
  set(found "")
  foreach(name IN LISTS ARGN)
    find_library(MARGAY_ARCHIVE_${name} lib${name}.a REQUIRED)
    list(APPEND found "${MARGAY_ARCHIVE_${name}}")
  endforeach()
  list(JOIN found "," joined)
  set(${OUT} "$<LINK_GROUP:RESCAN,${joined}>" PARENT_SCOPE)
endfunction()
pkg_check_modules(GRPC REQUIRED grpc++_unsecure)
list(REMOVE_DUPLICATES GRPC_STATIC_LIBRARIES)
list(FILTER GRPC_STATIC_LIBRARIES EXCLUDE REGEX "^(rt|atomic|pthread|dl|m)$")
margay_archives(PROTOBUF_ARCHIVES protobuf)
margay_archives(GRPC_ARCHIVES ${GRPC_STATIC_LIBRARIES} upb address_sorting re2 cares)
add_library(margay_protobuf INTERFACE)
target_link_libraries(margay_protobuf INTERFACE ${PROTOBUF_ARCHIVES} Threads::Threads z)
add_library(margay_grpc INTERFACE)
target_link_libraries(margay_grpc INTERFACE ${GRPC_ARCHIVES} margay_protobuf resolv z)

# Boost.Asio stand-alone headers, no exceptions across handlers, no deprecated API.
add_library(margay_asio INTERFACE)
target_link_libraries(margay_asio INTERFACE Boost::headers Threads::Threads)
target_compile_definitions(margay_asio INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE)
