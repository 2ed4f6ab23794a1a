cmake_minimum_required(VERSION 3.25)
# cmake -DROOT=<source> -P CheckLayers.cmake: who may include whom, as in docs/architecture.md.
#
# Each rule: folder, then the folders it may include besides itself. The longest matching folder wins. System headers of
# the kernel, libnl and nftables may be included under kernel/ only.

set(RULES
  "base:"
  "api:base"
  "policy:base,api"
  "datastore:base,api"
  "ipam:base,api,datastore"
  "kernel/model:base"
  "kernel:base,kernel/model"
  "bgp/wire:base"
  "bgp/bfd:base"
  "bgp/fsm:base,bgp/wire"
  "bgp/rib:base,bgp/wire"
  "bgp/monitor:base,bgp/wire,bgp/fsm,bgp/rib"
  "bgp/net:base,bgp/wire,bgp/fsm,bgp/rib,bgp"
  "bgp/bird:base,bgp,bgp/wire,bgp/rib"
  "bgp:base,bgp/bfd,bgp/wire,bgp/fsm,bgp/rib,bgp/monitor,bgp/net,kernel,kernel/model,felix/dataplane"
  "felix/calc:base,api,policy"
  "felix/render:base,api,policy,felix/calc,kernel/model"
  "felix/dataplane:base,kernel,kernel/model,felix/render"
  "felix/dns:base,kernel"
  "felix:base,api,datastore,ipam,policy,kernel,kernel/model,bgp,bgp/bfd,bgp/bird,bgp/wire,bgp/fsm,bgp/rib,bgp/monitor,bgp/net,felix/calc,felix/render,felix/dataplane,felix/dns,cni"
  "cni:base,api,kernel,kernel/model"
  "cli:base,api,cni,ipam,datastore,policy,felix/calc")
set(KERNEL_HEADERS "<(linux|netlink|libnftnl|libmnl|nftables)/")

set(violations 0)
file(GLOB_RECURSE sources RELATIVE "${ROOT}"
  "${ROOT}/base/*" "${ROOT}/api/*" "${ROOT}/policy/*" "${ROOT}/datastore/*" "${ROOT}/ipam/*" "${ROOT}/kernel/*"
  "${ROOT}/bgp/*" "${ROOT}/felix/*" "${ROOT}/cni/*" "${ROOT}/cli/*")
foreach(source IN LISTS sources)
  if(NOT source MATCHES "\\.(h|cpp)$")
    continue()
  endif()
  set(folder "")
  set(allowed "")
  foreach(rule IN LISTS RULES)
    string(REGEX MATCH "^([^:]*):(.*)$" _ "${rule}")
    set(candidate "${CMAKE_MATCH_1}")
    set(candidate_allowed "${CMAKE_MATCH_2}")
    string(LENGTH "${candidate}" candidate_length)
    string(LENGTH "${folder}" folder_length)
    if(source MATCHES "^${candidate}/" AND candidate_length GREATER folder_length)
      set(folder "${candidate}")
      string(REPLACE "," ";" allowed "${candidate_allowed}")
    endif()
  endforeach()
  list(APPEND allowed "${folder}" "api/proto")
  file(STRINGS "${ROOT}/${source}" includes REGEX "^#include ")
  foreach(include IN LISTS includes)
    if(include MATCHES "${KERNEL_HEADERS}" AND NOT folder MATCHES "^kernel")
      message("layers: ${source} includes a kernel header (${include}): only kernel/ may")
      math(EXPR violations "${violations} + 1")
    endif()
    if(NOT include MATCHES "^#include \"([a-z0-9_/]+)/[^/\"]+\"")
      continue()
    endif()
    set(target "${CMAKE_MATCH_1}")
    set(target_folder "")
    foreach(rule IN LISTS RULES)
      string(REGEX MATCH "^([^:]*):" _ "${rule}")
      set(candidate "${CMAKE_MATCH_1}")
      string(LENGTH "${candidate}" candidate_length)
      string(LENGTH "${target_folder}" folder_length)
      if("${target}/" MATCHES "^${candidate}/" AND candidate_length GREATER folder_length)
        set(target_folder "${candidate}")
      endif()
    endforeach()
    if(target MATCHES "^api/proto")
      set(target_folder "api/proto")
    endif()
    if(NOT target_folder IN_LIST allowed)
      message("layers: ${source} (folder ${folder}) may not include ${target}/")
      math(EXPR violations "${violations} + 1")
    endif()
  endforeach()
endforeach()
if(violations)
  message(FATAL_ERROR "layers: ${violations} includes break the table in cmake/CheckLayers.cmake")
endif()
