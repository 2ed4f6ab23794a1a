# Third-party packages, all from Debian 12. Names used by the folders' CMakeLists.txt:
#   fmt::fmt spdlog::spdlog margay_asio Boost::json Boost::url yaml-cpp protobuf::libprotobuf
#   protobuf::libprotobuf-lite gRPC::grpc++ PkgConfig::{NL,NLROUTE,NFTNL,MNL,NFTABLES,SQLITE} CLI11::CLI11
#   prometheus-cpp::core prometheus-cpp::pull doctest rapidcheck benchmark::benchmark
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_package(yaml-cpp REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
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

# Boost.Asio stand-alone headers, no exceptions across handlers, no deprecated API.
add_library(margay_asio INTERFACE)
target_link_libraries(margay_asio INTERFACE Boost::headers Threads::Threads)
target_compile_definitions(margay_asio INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE)
