# Which compiler this is: build/generated/version.h, for everything that artifacts and caches must remember.
#
#   SYLVITE_VERSION       the project's version
#   SYLVITE_BUILD         a hash of the sources of compiler, passes and runtime: what an artifact was made by
#   SYLVITE_KERNEL_BUILD  a hash of compiler/ir and compiler/kernels: part of each kernel's key, so that the
#                         kernel cache survives changes elsewhere and never a change that matters
#
# Hashes of contents, not a commit or a date: the same sources give the same artifacts in any folder. Runs at
# each build and rewrites the header only when it changes. Use: link sylvite_version, include
# "generated/version.h" (in one .cpp of a library: whoever includes it is compiled again after each change).
if(NOT CMAKE_SCRIPT_MODE_FILE)
  add_custom_target(sylvite_version_header
    COMMAND ${CMAKE_COMMAND} -D SOURCE=${CMAKE_SOURCE_DIR}
            -D OUTPUT=${CMAKE_BINARY_DIR}/generated/version.h -D VERSION=${PROJECT_VERSION}
            -P ${CMAKE_CURRENT_LIST_FILE}
    BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/version.h
    COMMENT "Hashing the compiler's sources")
  add_library(sylvite_version INTERFACE)
  target_include_directories(sylvite_version INTERFACE ${CMAKE_BINARY_DIR})
  add_dependencies(sylvite_version sylvite_version_header)
  return()
endif()

function(hash_sources result)
  set(all "")
  foreach(folder ${ARGN})
    file(GLOB_RECURSE files RELATIVE ${SOURCE} ${SOURCE}/${folder}/*.h ${SOURCE}/${folder}/*.hpp
         ${SOURCE}/${folder}/*.cpp ${SOURCE}/${folder}/*.c ${SOURCE}/${folder}/*.def
         ${SOURCE}/${folder}/*.json ${SOURCE}/${folder}/CMakeLists.txt)
    list(SORT files)
    foreach(source_file ${files})
      file(SHA256 ${SOURCE}/${source_file} hash)
      string(APPEND all "${source_file} ${hash}\n")
    endforeach()
  endforeach()
  string(SHA256 hash "${all}")
  string(SUBSTRING "${hash}" 0 16 hash)
  set(${result} ${hash} PARENT_SCOPE)
endfunction()

hash_sources(build compiler passes runtime)
hash_sources(kernel_build compiler/ir compiler/kernels)
set(header "// Written by cmake/version.cmake.\n#pragma once\n\n"
  "#define SYLVITE_VERSION \"${VERSION}\"\n#define SYLVITE_BUILD \"${build}\"\n"
  "#define SYLVITE_KERNEL_BUILD \"${kernel_build}\"\n")
string(JOIN "" header ${header})
set(previous "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} previous)
endif()
if(NOT previous STREQUAL header)
  file(WRITE ${OUTPUT} "${header}")
endif()
