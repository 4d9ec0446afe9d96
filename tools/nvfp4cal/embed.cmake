# Writes a C++ file that holds other files: cmake -DOUTPUT=... -DFOLDER=... -DNAMES=a,b -P embed.cmake
string(REPLACE "," ";" names "${NAMES}")
set(arrays "")
set(cases "")
set(number 0)
foreach(name IN LISTS names)
  file(READ "${FOLDER}/${name}" bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "const unsigned char part_${number}[] = {${bytes}};\n")
  string(APPEND cases "  if (name == \"${name}\") return {reinterpret_cast<const char*>(part_${number}), sizeof part_${number}};\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUTPUT}"
     "#include \"report_parts.h\"\n\nnamespace nvfp4cal_tool {\n\nnamespace {\n${arrays}}  // namespace\n\n"
     "std::string_view report_part(std::string_view name) {\n${cases}  return {};\n}\n\n}  // namespace nvfp4cal_tool\n")
