# Copies what zig links a program from (start file, C and C++ libraries, compiler support) out of its cache, where
# they lie under names that are hashes: links an empty program and reads the command that zig says it ran. Run by
# runtime/program.cmake and runtime/library.cmake; WANTED must be among them:
#   cmake -DZIG=... -DTARGET=x86_64-linux-musl -DSOURCE=empty.cpp -DWORK=folder -DTO=folder -DWANTED=crt1.o,... -P this
cmake_minimum_required(VERSION 3.25)
file(MAKE_DIRECTORY ${WORK} ${TO})
execute_process(
  COMMAND ${ZIG} c++ -target ${TARGET} -O2 -v ${SOURCE} -o ${WORK}/empty
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "zig cannot link for ${TARGET}:\n${output}")
endif()
string(REGEX MATCHALL "[^\n]*ld\\.lld [^\n]*" lines "${output}")
string(REGEX MATCHALL "[^ ]+/(crt1\\.o|lib[a-z+_]+\\.a)" files "${lines}")
list(REMOVE_DUPLICATES files)
set(names)
foreach(file ${files})
  get_filename_component(name ${file} NAME)
  list(APPEND names ${name})
  file(COPY_FILE ${file} ${TO}/${name}.part)
  file(RENAME ${TO}/${name}.part ${TO}/${name})
endforeach()
string(REPLACE "," ";" WANTED "${WANTED}")
foreach(name ${WANTED})
  if(NOT name IN_LIST names)
    message(FATAL_ERROR "zig's link for ${TARGET} does not name ${name}:\n${lines}")
  endif()
endforeach()
