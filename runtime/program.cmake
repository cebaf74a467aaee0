# What `sylvite compile` links into programs, in <build>/lib/sylvite/<target>: libsylvite_program.a (the runtime
# with the main program) and zig's C and C++ libraries. Compiled by zig for the baseline CPU against musl:
# programs need nothing but the kernel, and an older CPU reaches the line that says so.
#
# zig keeps compiled libraries in its cache; tools/setup may have filled it.
set(SYLVITE_TARGET x86_64-linux-musl)
set(SYLVITE_ZIG_CACHE "$ENV{ZIG_GLOBAL_CACHE_DIR}" CACHE PATH "zig's cache; empty: zig's own choice")
set(SYLVITE_PROGRAM_FOLDER ${CMAKE_BINARY_DIR}/lib/sylvite/${SYLVITE_TARGET} CACHE INTERNAL "")
set(zig ${SYLVITE_ZIG})
if(SYLVITE_ZIG_CACHE)
  set(zig ${CMAKE_COMMAND} -E env ZIG_GLOBAL_CACHE_DIR=${SYLVITE_ZIG_CACHE} ${SYLVITE_ZIG})
endif()

get_filename_component(source_root ${CMAKE_CURRENT_SOURCE_DIR} DIRECTORY)
set(SYLVITE_SOURCE_ROOT ${source_root} CACHE INTERNAL "")
set(zig_flags
  -mcpu=x86_64 -std=c++20 -g0 -DNDEBUG -ffp-contract=off
  -fno-exceptions -fno-rtti -ffunction-sections -fdata-sections -fomit-frame-pointer
  -fno-unwind-tables -fno-asynchronous-unwind-tables -fno-stack-protector -fno-sanitize=all
  -ffile-prefix-map=${source_root}/= -I${source_root} -isystem ${SYLVITE_STB_INCLUDE}
  -isystem ${SYLVITE_SENTENCEPIECE}/lite)
set(SYLVITE_PROGRAM_COMPILE ${zig} c++ -target ${SYLVITE_TARGET} ${zig_flags} CACHE INTERNAL "")

# sylvite_zig_object(result source [flags...]): compiles one source file into an object, and names it.
# Small code, but for the sources in which time is spent. SYLVITE_ZIG_COMPILE and SYLVITE_ZIG_FOLDER, where they
# are set, are the compiler and the folder to use instead (library.cmake).
set(SYLVITE_FAST_SOURCES arena calls decode library_kernels peak preprocess resize sentencepiece stb threads crc32 vocabulary CACHE INTERNAL "")
function(sylvite_zig_object result source)
  get_filename_component(source ${source} ABSOLUTE)
  get_filename_component(stem ${source} NAME_WE)
  set(compile ${SYLVITE_PROGRAM_COMPILE})
  set(target zig)
  if(SYLVITE_ZIG_COMPILE)
    set(compile ${SYLVITE_ZIG_COMPILE})
    set(target ${SYLVITE_ZIG_FOLDER})
  endif()
  set(optimise -Os)
  if("${stem}" IN_LIST SYLVITE_FAST_SOURCES)
    set(optimise -O2)
  endif()
  string(REPLACE ${SYLVITE_SOURCE_ROOT}/ "" name ${source})
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${target}/${name}.o)
  get_filename_component(folder ${object} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${compile} ${optimise} ${ARGN} -MMD -MF ${object}.d -c ${source} -o ${object}
    DEPENDS ${source} ${SYLVITE_ZIG}
    DEPFILE ${object}.d
    COMMENT "${target} c++ ${name}"
    VERBATIM)
  set(${result} ${object} PARENT_SCOPE)
endfunction()

# The same sources as of the libraries for g++ (runtime_sources), and the main program.
set(runtime_sources)
set(program_sources
  ${CMAKE_CURRENT_SOURCE_DIR}/program/arrays.cpp ${CMAKE_CURRENT_SOURCE_DIR}/program/main.cpp
  ${CMAKE_CURRENT_SOURCE_DIR}/program/memory_functions.cpp ${CMAKE_CURRENT_SOURCE_DIR}/program/option_values.cpp
  ${CMAKE_CURRENT_SOURCE_DIR}/program/options.cpp ${CMAKE_CURRENT_SOURCE_DIR}/program/report.cpp
  ${CMAKE_CURRENT_SOURCE_DIR}/program/translate_options.cpp ${CMAKE_CURRENT_SOURCE_DIR}/program/weights_file.cpp)
foreach(library sylvite_runtime sylvite_io sylvite_images sylvite_tokens sylvite_tasks)
  get_target_property(sources ${library} SOURCES)
  get_target_property(folder ${library} SOURCE_DIR)
  foreach(source ${sources})
    get_filename_component(source ${source} ABSOLUTE BASE_DIR ${folder})
    list(APPEND runtime_sources ${source})
  endforeach()
endforeach()
set(objects)
foreach(source ${program_sources} ${runtime_sources})
  sylvite_zig_object(object ${source})
  list(APPEND objects ${object})
endforeach()

set(archive ${SYLVITE_PROGRAM_FOLDER}/libsylvite_program.a)
file(MAKE_DIRECTORY ${SYLVITE_PROGRAM_FOLDER})
add_custom_command(
  OUTPUT ${archive}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${zig} ar rcsD ${archive} ${objects}
  DEPENDS ${objects}
  COMMENT "libsylvite_program.a"
  COMMAND_EXPAND_LISTS VERBATIM)

set(libraries_stamp ${CMAKE_CURRENT_BINARY_DIR}/zig/libraries.stamp)
add_custom_command(
  OUTPUT ${libraries_stamp}
  COMMAND ${CMAKE_COMMAND} "-DZIG=${zig}" -DTARGET=${SYLVITE_TARGET}
          -DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}/program/empty.cpp -DWORK=${CMAKE_CURRENT_BINARY_DIR}/zig
          -DTO=${SYLVITE_PROGRAM_FOLDER} "-DWANTED=crt1.o,libc.a,libc++.a,libc++abi.a,libunwind.a,libcompiler_rt.a"
          -P ${CMAKE_CURRENT_SOURCE_DIR}/collect_libraries.cmake
  COMMAND ${CMAKE_COMMAND} -E touch ${libraries_stamp}
  DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/collect_libraries.cmake ${CMAKE_CURRENT_SOURCE_DIR}/program/empty.cpp
          ${SYLVITE_ZIG}
  COMMENT "zig's C and C++ libraries (about a minute where its cache is empty)"
  VERBATIM)

add_custom_target(sylvite_program ALL DEPENDS ${archive} ${libraries_stamp})
set(SYLVITE_PROGRAM_FILES ${archive} ${libraries_stamp} CACHE INTERNAL "what a program's link waits for")
install(DIRECTORY ${SYLVITE_PROGRAM_FOLDER}/ DESTINATION lib/sylvite/${SYLVITE_TARGET})
