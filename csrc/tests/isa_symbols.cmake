# Fails if an object compiled for an instruction set defines a shared symbol outside its namespace: the linker could give
# that copy to code that runs on machines without the set.
execute_process(COMMAND ${NM} -C ${OBJECTS} OUTPUT_VARIABLE symbols RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${NM} failed on ${OBJECTS}")
endif()
string(REGEX MATCHALL "[^\n]* [TWVu] [^\n]*" defined "${symbols}")
if(NOT defined)
  message(FATAL_ERROR "no symbols found in ${OBJECTS}")
endif()
list(FILTER defined EXCLUDE REGEX "cssm::${ISA}::")
if(defined)
  message(FATAL_ERROR "shared symbols outside cssm::${ISA}: ${defined}")
endif()
