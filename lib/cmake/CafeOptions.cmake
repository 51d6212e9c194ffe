# SPDX-License-Identifier: Apache-2.0
# cafe_warnings: what the library's own sources must satisfy. Tests relax a part of it (tests/CMakeLists.txt).
add_library(cafe_warnings INTERFACE)
target_compile_options(cafe_warnings INTERFACE
  -Wall -Wextra -Wpedantic
  -Wshadow -Wconversion -Wsign-conversion -Wdouble-promotion
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wredundant-decls
  -Wformat=2 -Wundef -Wcast-qual -Wcast-align -Wpointer-arith -Wwrite-strings -Wvla
  -Wfloat-equal -Wdate-time -Wunused-macros
  # C99 promises only 4095 characters in a literal; a schema in SQL is longer, and both compilers take it.
  -Wno-overlength-strings)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(cafe_warnings INTERFACE
    -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wtrampolines
    -Wformat-signedness -Warith-conversion -Walloc-zero -Wjump-misses-init)
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
  target_compile_options(cafe_warnings INTERFACE
    -Wassign-enum -Wcomma -Wunreachable-code-aggressive -Wmissing-variable-declarations)
endif()
if(CAFE_WERROR)
  target_compile_options(cafe_warnings INTERFACE -Werror)
endif()

if(CAFE_SANITIZE)
  list(JOIN CAFE_SANITIZE "," _sanitizers)
  add_compile_options("-fsanitize=${_sanitizers}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options("-fsanitize=${_sanitizers}")
endif()

if(CAFE_COVERAGE)
  # -O0: an optimised branch is not the one in the source.
  add_compile_options(--coverage -O0)
  add_link_options(--coverage)
endif()

# The checks of symbols need the code that is shipped: instrumented objects call what the sources never do.
if(CAFE_SANITIZE OR CAFE_COVERAGE OR NOT CMAKE_BUILD_TYPE STREQUAL "Release")
  set(CAFE_PLAIN_RELEASE OFF)
else()
  set(CAFE_PLAIN_RELEASE ON)
endif()
