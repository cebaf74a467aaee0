# What `sylvite compile --emit=lib` puts beside a model's library, in <build>/lib/sylvite/<target>: the runtime as
# libsylvite_runtime.a, and its public headers. The same sources as a program's, compiled by zig against an old
# glibc, so that any g++ or clang of the last years links them.
#
# The archive holds one object: the runtime and the parts of zig's C++ library that it uses, with all symbols
# local but those of the C interface (library_symbols.txt), and these hidden. So nothing of it meets the
# application's own C++ library or another version of the runtime in the same process, and it leaves undefined what
# the C library has. Section groups are dissolved: a group of ours must not give way to one of the application's
# that bears the same name. Exceptions and memory as in programs (program/memory_functions.cpp).
set(SYLVITE_LIBRARY_TARGET x86_64-linux-gnu)
set(SYLVITE_LIBRARY_FOLDER ${CMAKE_BINARY_DIR}/lib/sylvite/${SYLVITE_LIBRARY_TARGET} CACHE INTERNAL "")
set(glibc_target ${SYLVITE_LIBRARY_TARGET}.2.28)
set(work ${CMAKE_CURRENT_BINARY_DIR}/zig-library)

set(SYLVITE_ZIG_COMPILE
  ${zig} c++ -target ${glibc_target} ${zig_flags} -fPIC -fvisibility=hidden -DSYLVITE_LIBRARY)
set(SYLVITE_ZIG_FOLDER zig-library)
set(objects)
foreach(source ${CMAKE_CURRENT_SOURCE_DIR}/program/memory_functions.cpp ${runtime_sources})
  sylvite_zig_object(object ${source})
  list(APPEND objects ${object})
endforeach()
unset(SYLVITE_ZIG_COMPILE)

set(cpp_libraries ${work}/libraries/libc++.a ${work}/libraries/libc++abi.a)
add_custom_command(
  OUTPUT ${work}/libraries.stamp
  BYPRODUCTS ${cpp_libraries}
  COMMAND ${CMAKE_COMMAND} "-DZIG=${zig}" -DTARGET=${glibc_target}
          -DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}/program/empty.cpp -DWORK=${work} -DTO=${work}/libraries
          -DWANTED=libc++.a,libc++abi.a -P ${CMAKE_CURRENT_SOURCE_DIR}/collect_libraries.cmake
  COMMAND ${CMAKE_COMMAND} -E touch ${work}/libraries.stamp
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/collect_libraries.cmake ${CMAKE_CURRENT_SOURCE_DIR}/program/empty.cpp
          ${SYLVITE_ZIG}
  COMMENT "zig's C++ library for glibc (about a minute where its cache is empty)"
  VERBATIM)

set(symbols_file ${CMAKE_CURRENT_SOURCE_DIR}/library_symbols.txt)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${symbols_file})
file(STRINGS ${symbols_file} symbols)
list(TRANSFORM symbols PREPEND --undefined= OUTPUT_VARIABLE roots)
set(archive ${SYLVITE_LIBRARY_FOLDER}/libsylvite_runtime.a)
file(MAKE_DIRECTORY ${SYLVITE_LIBRARY_FOLDER})
add_custom_command(
  OUTPUT ${archive}
  COMMAND ${zig} ld.lld -r --gc-sections --force-group-allocation ${roots} -o ${work}/whole.o ${objects}
          ${cpp_libraries}
  COMMAND ${CMAKE_OBJCOPY} --keep-global-symbols=${symbols_file} --strip-unneeded
          --remove-section=.comment --remove-section=.llvm_addrsig ${work}/whole.o ${work}/sylvite_runtime.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${zig} ar rcsD ${archive} ${work}/sylvite_runtime.o
  DEPENDS ${objects} ${work}/libraries.stamp ${symbols_file}
  COMMENT "libsylvite_runtime.a"
  COMMAND_EXPAND_LISTS VERBATIM)

# The headers are copied, so that the compiler finds all that it needs beside itself, built or installed.
set(headers)
foreach(name sylvite.h sylvite.hpp classifier.h classifier.hpp translator.h translator.hpp)
  set(header ${SYLVITE_LIBRARY_FOLDER}/include/sylvite/${name})
  add_custom_command(
    OUTPUT ${header}
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_SOURCE_DIR}/include/sylvite/${name} ${header}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/include/sylvite/${name}
    COMMENT "sylvite/${name}"
    VERBATIM)
  list(APPEND headers ${header})
endforeach()
add_custom_target(sylvite_library ALL DEPENDS ${archive} ${headers})
install(DIRECTORY ${SYLVITE_LIBRARY_FOLDER}/ DESTINATION lib/sylvite/${SYLVITE_LIBRARY_TARGET})
