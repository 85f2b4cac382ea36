// wgmma m64nN: the tensor cores of Hopper, 16-bit, TF32 or 8-bit floats and f32 sums (of the latter, with
// some 14 bits: see gemm_hopper.hpp), or 8-bit integers and their exact sums (PTX ISA, section "wgmma
// instructions"; compute capability 9.0a). An instruction names all registers of its sums, so there is
// one text for each N; the macros below make them from the texts of eight columns.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ait/cuda/tf32.hpp"
#include "ait/scalar.hpp"

namespace ait::cuda {

/// In which direction neighbours of a factor in shared memory lie: along k, or along m (or n).
enum class Major { K = 0, MN = 1 };

// The registers of N / 8 times eight columns, as text and as operands.
// clang-format off
#define AIT_WGMMA_TEXT_1 "%0, %1, %2, %3"
#define AIT_WGMMA_TEXT_2 AIT_WGMMA_TEXT_1 ", %4, %5, %6, %7"
#define AIT_WGMMA_TEXT_3 AIT_WGMMA_TEXT_2 ", %8, %9, %10, %11"
#define AIT_WGMMA_TEXT_4 AIT_WGMMA_TEXT_3 ", %12, %13, %14, %15"
#define AIT_WGMMA_TEXT_5 AIT_WGMMA_TEXT_4 ", %16, %17, %18, %19"
#define AIT_WGMMA_TEXT_6 AIT_WGMMA_TEXT_5 ", %20, %21, %22, %23"
#define AIT_WGMMA_TEXT_7 AIT_WGMMA_TEXT_6 ", %24, %25, %26, %27"
#define AIT_WGMMA_TEXT_8 AIT_WGMMA_TEXT_7 ", %28, %29, %30, %31"
#define AIT_WGMMA_TEXT_9 AIT_WGMMA_TEXT_8 ", %32, %33, %34, %35"
#define AIT_WGMMA_TEXT_10 AIT_WGMMA_TEXT_9 ", %36, %37, %38, %39"
#define AIT_WGMMA_TEXT_11 AIT_WGMMA_TEXT_10 ", %40, %41, %42, %43"
#define AIT_WGMMA_TEXT_12 AIT_WGMMA_TEXT_11 ", %44, %45, %46, %47"
#define AIT_WGMMA_TEXT_13 AIT_WGMMA_TEXT_12 ", %48, %49, %50, %51"
#define AIT_WGMMA_TEXT_14 AIT_WGMMA_TEXT_13 ", %52, %53, %54, %55"
#define AIT_WGMMA_TEXT_15 AIT_WGMMA_TEXT_14 ", %56, %57, %58, %59"
#define AIT_WGMMA_TEXT_16 AIT_WGMMA_TEXT_15 ", %60, %61, %62, %63"
#define AIT_WGMMA_TEXT_17 AIT_WGMMA_TEXT_16 ", %64, %65, %66, %67"
#define AIT_WGMMA_TEXT_18 AIT_WGMMA_TEXT_17 ", %68, %69, %70, %71"
#define AIT_WGMMA_TEXT_19 AIT_WGMMA_TEXT_18 ", %72, %73, %74, %75"
#define AIT_WGMMA_TEXT_20 AIT_WGMMA_TEXT_19 ", %76, %77, %78, %79"
#define AIT_WGMMA_TEXT_21 AIT_WGMMA_TEXT_20 ", %80, %81, %82, %83"
#define AIT_WGMMA_TEXT_22 AIT_WGMMA_TEXT_21 ", %84, %85, %86, %87"
#define AIT_WGMMA_TEXT_23 AIT_WGMMA_TEXT_22 ", %88, %89, %90, %91"
#define AIT_WGMMA_TEXT_24 AIT_WGMMA_TEXT_23 ", %92, %93, %94, %95"
#define AIT_WGMMA_TEXT_25 AIT_WGMMA_TEXT_24 ", %96, %97, %98, %99"
#define AIT_WGMMA_TEXT_26 AIT_WGMMA_TEXT_25 ", %100, %101, %102, %103"
#define AIT_WGMMA_TEXT_27 AIT_WGMMA_TEXT_26 ", %104, %105, %106, %107"
#define AIT_WGMMA_TEXT_28 AIT_WGMMA_TEXT_27 ", %108, %109, %110, %111"
#define AIT_WGMMA_TEXT_29 AIT_WGMMA_TEXT_28 ", %112, %113, %114, %115"
#define AIT_WGMMA_TEXT_30 AIT_WGMMA_TEXT_29 ", %116, %117, %118, %119"
#define AIT_WGMMA_TEXT_31 AIT_WGMMA_TEXT_30 ", %120, %121, %122, %123"
#define AIT_WGMMA_TEXT_32 AIT_WGMMA_TEXT_31 ", %124, %125, %126, %127"
#define AIT_WGMMA_SUMS_1 "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define AIT_WGMMA_SUMS_2 AIT_WGMMA_SUMS_1, "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define AIT_WGMMA_SUMS_3 AIT_WGMMA_SUMS_2, "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11])
#define AIT_WGMMA_SUMS_4 AIT_WGMMA_SUMS_3, "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define AIT_WGMMA_SUMS_5 AIT_WGMMA_SUMS_4, "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19])
#define AIT_WGMMA_SUMS_6 AIT_WGMMA_SUMS_5, "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23])
#define AIT_WGMMA_SUMS_7 AIT_WGMMA_SUMS_6, "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27])
#define AIT_WGMMA_SUMS_8 AIT_WGMMA_SUMS_7, "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define AIT_WGMMA_SUMS_9 AIT_WGMMA_SUMS_8, "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35])
#define AIT_WGMMA_SUMS_10 AIT_WGMMA_SUMS_9, "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39])
#define AIT_WGMMA_SUMS_11 AIT_WGMMA_SUMS_10, "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43])
#define AIT_WGMMA_SUMS_12 AIT_WGMMA_SUMS_11, "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47])
#define AIT_WGMMA_SUMS_13 AIT_WGMMA_SUMS_12, "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51])
#define AIT_WGMMA_SUMS_14 AIT_WGMMA_SUMS_13, "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55])
#define AIT_WGMMA_SUMS_15 AIT_WGMMA_SUMS_14, "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59])
#define AIT_WGMMA_SUMS_16 AIT_WGMMA_SUMS_15, "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define AIT_WGMMA_SUMS_17 AIT_WGMMA_SUMS_16, "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67])
#define AIT_WGMMA_SUMS_18 AIT_WGMMA_SUMS_17, "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71])
#define AIT_WGMMA_SUMS_19 AIT_WGMMA_SUMS_18, "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75])
#define AIT_WGMMA_SUMS_20 AIT_WGMMA_SUMS_19, "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79])
#define AIT_WGMMA_SUMS_21 AIT_WGMMA_SUMS_20, "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83])
#define AIT_WGMMA_SUMS_22 AIT_WGMMA_SUMS_21, "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87])
#define AIT_WGMMA_SUMS_23 AIT_WGMMA_SUMS_22, "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91])
#define AIT_WGMMA_SUMS_24 AIT_WGMMA_SUMS_23, "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95])
#define AIT_WGMMA_SUMS_25 AIT_WGMMA_SUMS_24, "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99])
#define AIT_WGMMA_SUMS_26 AIT_WGMMA_SUMS_25, "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103])
#define AIT_WGMMA_SUMS_27 AIT_WGMMA_SUMS_26, "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107])
#define AIT_WGMMA_SUMS_28 AIT_WGMMA_SUMS_27, "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111])
#define AIT_WGMMA_SUMS_29 AIT_WGMMA_SUMS_28, "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115])
#define AIT_WGMMA_SUMS_30 AIT_WGMMA_SUMS_29, "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119])
#define AIT_WGMMA_SUMS_31 AIT_WGMMA_SUMS_30, "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123])
#define AIT_WGMMA_SUMS_32 AIT_WGMMA_SUMS_31, "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
#define AIT_WGMMA_INTEGERS_1 "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
#define AIT_WGMMA_INTEGERS_2 AIT_WGMMA_INTEGERS_1, "+r"(d[4]), "+r"(d[5]), "+r"(d[6]), "+r"(d[7])
#define AIT_WGMMA_INTEGERS_3 AIT_WGMMA_INTEGERS_2, "+r"(d[8]), "+r"(d[9]), "+r"(d[10]), "+r"(d[11])
#define AIT_WGMMA_INTEGERS_4 AIT_WGMMA_INTEGERS_3, "+r"(d[12]), "+r"(d[13]), "+r"(d[14]), "+r"(d[15])
#define AIT_WGMMA_INTEGERS_5 AIT_WGMMA_INTEGERS_4, "+r"(d[16]), "+r"(d[17]), "+r"(d[18]), "+r"(d[19])
#define AIT_WGMMA_INTEGERS_6 AIT_WGMMA_INTEGERS_5, "+r"(d[20]), "+r"(d[21]), "+r"(d[22]), "+r"(d[23])
#define AIT_WGMMA_INTEGERS_7 AIT_WGMMA_INTEGERS_6, "+r"(d[24]), "+r"(d[25]), "+r"(d[26]), "+r"(d[27])
#define AIT_WGMMA_INTEGERS_8 AIT_WGMMA_INTEGERS_7, "+r"(d[28]), "+r"(d[29]), "+r"(d[30]), "+r"(d[31])
#define AIT_WGMMA_INTEGERS_9 AIT_WGMMA_INTEGERS_8, "+r"(d[32]), "+r"(d[33]), "+r"(d[34]), "+r"(d[35])
#define AIT_WGMMA_INTEGERS_10 AIT_WGMMA_INTEGERS_9, "+r"(d[36]), "+r"(d[37]), "+r"(d[38]), "+r"(d[39])
#define AIT_WGMMA_INTEGERS_11 AIT_WGMMA_INTEGERS_10, "+r"(d[40]), "+r"(d[41]), "+r"(d[42]), "+r"(d[43])
#define AIT_WGMMA_INTEGERS_12 AIT_WGMMA_INTEGERS_11, "+r"(d[44]), "+r"(d[45]), "+r"(d[46]), "+r"(d[47])
#define AIT_WGMMA_INTEGERS_13 AIT_WGMMA_INTEGERS_12, "+r"(d[48]), "+r"(d[49]), "+r"(d[50]), "+r"(d[51])
#define AIT_WGMMA_INTEGERS_14 AIT_WGMMA_INTEGERS_13, "+r"(d[52]), "+r"(d[53]), "+r"(d[54]), "+r"(d[55])
#define AIT_WGMMA_INTEGERS_15 AIT_WGMMA_INTEGERS_14, "+r"(d[56]), "+r"(d[57]), "+r"(d[58]), "+r"(d[59])
#define AIT_WGMMA_INTEGERS_16 AIT_WGMMA_INTEGERS_15, "+r"(d[60]), "+r"(d[61]), "+r"(d[62]), "+r"(d[63])
#define AIT_WGMMA_INTEGERS_17 AIT_WGMMA_INTEGERS_16, "+r"(d[64]), "+r"(d[65]), "+r"(d[66]), "+r"(d[67])
#define AIT_WGMMA_INTEGERS_18 AIT_WGMMA_INTEGERS_17, "+r"(d[68]), "+r"(d[69]), "+r"(d[70]), "+r"(d[71])
#define AIT_WGMMA_INTEGERS_19 AIT_WGMMA_INTEGERS_18, "+r"(d[72]), "+r"(d[73]), "+r"(d[74]), "+r"(d[75])
#define AIT_WGMMA_INTEGERS_20 AIT_WGMMA_INTEGERS_19, "+r"(d[76]), "+r"(d[77]), "+r"(d[78]), "+r"(d[79])
#define AIT_WGMMA_INTEGERS_21 AIT_WGMMA_INTEGERS_20, "+r"(d[80]), "+r"(d[81]), "+r"(d[82]), "+r"(d[83])
#define AIT_WGMMA_INTEGERS_22 AIT_WGMMA_INTEGERS_21, "+r"(d[84]), "+r"(d[85]), "+r"(d[86]), "+r"(d[87])
#define AIT_WGMMA_INTEGERS_23 AIT_WGMMA_INTEGERS_22, "+r"(d[88]), "+r"(d[89]), "+r"(d[90]), "+r"(d[91])
#define AIT_WGMMA_INTEGERS_24 AIT_WGMMA_INTEGERS_23, "+r"(d[92]), "+r"(d[93]), "+r"(d[94]), "+r"(d[95])
#define AIT_WGMMA_INTEGERS_25 AIT_WGMMA_INTEGERS_24, "+r"(d[96]), "+r"(d[97]), "+r"(d[98]), "+r"(d[99])
#define AIT_WGMMA_INTEGERS_26 AIT_WGMMA_INTEGERS_25, "+r"(d[100]), "+r"(d[101]), "+r"(d[102]), "+r"(d[103])
#define AIT_WGMMA_INTEGERS_27 AIT_WGMMA_INTEGERS_26, "+r"(d[104]), "+r"(d[105]), "+r"(d[106]), "+r"(d[107])
#define AIT_WGMMA_INTEGERS_28 AIT_WGMMA_INTEGERS_27, "+r"(d[108]), "+r"(d[109]), "+r"(d[110]), "+r"(d[111])
#define AIT_WGMMA_INTEGERS_29 AIT_WGMMA_INTEGERS_28, "+r"(d[112]), "+r"(d[113]), "+r"(d[114]), "+r"(d[115])
#define AIT_WGMMA_INTEGERS_30 AIT_WGMMA_INTEGERS_29, "+r"(d[116]), "+r"(d[117]), "+r"(d[118]), "+r"(d[119])
#define AIT_WGMMA_INTEGERS_31 AIT_WGMMA_INTEGERS_30, "+r"(d[120]), "+r"(d[121]), "+r"(d[122]), "+r"(d[123])
#define AIT_WGMMA_INTEGERS_32 AIT_WGMMA_INTEGERS_31, "+r"(d[124]), "+r"(d[125]), "+r"(d[126]), "+r"(d[127])
// For each N: N / 8, N, and the numbers of the operands after the sums.
#define AIT_WGMMA_EACH(CASE) \
  CASE(1, 8, 4, 5, 6, 7, 8, 9, 10) \
  CASE(2, 16, 8, 9, 10, 11, 12, 13, 14) \
  CASE(3, 24, 12, 13, 14, 15, 16, 17, 18) \
  CASE(4, 32, 16, 17, 18, 19, 20, 21, 22) \
  CASE(5, 40, 20, 21, 22, 23, 24, 25, 26) \
  CASE(6, 48, 24, 25, 26, 27, 28, 29, 30) \
  CASE(7, 56, 28, 29, 30, 31, 32, 33, 34) \
  CASE(8, 64, 32, 33, 34, 35, 36, 37, 38) \
  CASE(9, 72, 36, 37, 38, 39, 40, 41, 42) \
  CASE(10, 80, 40, 41, 42, 43, 44, 45, 46) \
  CASE(11, 88, 44, 45, 46, 47, 48, 49, 50) \
  CASE(12, 96, 48, 49, 50, 51, 52, 53, 54) \
  CASE(13, 104, 52, 53, 54, 55, 56, 57, 58) \
  CASE(14, 112, 56, 57, 58, 59, 60, 61, 62) \
  CASE(15, 120, 60, 61, 62, 63, 64, 65, 66) \
  CASE(16, 128, 64, 65, 66, 67, 68, 69, 70) \
  CASE(17, 136, 68, 69, 70, 71, 72, 73, 74) \
  CASE(18, 144, 72, 73, 74, 75, 76, 77, 78) \
  CASE(19, 152, 76, 77, 78, 79, 80, 81, 82) \
  CASE(20, 160, 80, 81, 82, 83, 84, 85, 86) \
  CASE(21, 168, 84, 85, 86, 87, 88, 89, 90) \
  CASE(22, 176, 88, 89, 90, 91, 92, 93, 94) \
  CASE(23, 184, 92, 93, 94, 95, 96, 97, 98) \
  CASE(24, 192, 96, 97, 98, 99, 100, 101, 102) \
  CASE(25, 200, 100, 101, 102, 103, 104, 105, 106) \
  CASE(26, 208, 104, 105, 106, 107, 108, 109, 110) \
  CASE(27, 216, 108, 109, 110, 111, 112, 113, 114) \
  CASE(28, 224, 112, 113, 114, 115, 116, 117, 118) \
  CASE(29, 232, 116, 117, 118, 119, 120, 121, 122) \
  CASE(30, 240, 120, 121, 122, 123, 124, 125, 126) \
  CASE(31, 248, 124, 125, 126, 127, 128, 129, 130) \
  CASE(32, 256, 128, 129, 130, 131, 132, 133, 134)
// clang-format on

#define AIT_WGMMA_SHARED(TYPE, J, N, A, B, USE, TA, TB)                                      \
  asm volatile("{\n.reg .pred use;\nsetp.ne.b32 use, %" #USE                                 \
               ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE         \
               " {" AIT_WGMMA_TEXT_##J "}, %" #A ", %" #B ", use, 1, 1, %" #TA ", %" #TB     \
               ";\n}"                                                                        \
               : AIT_WGMMA_SUMS_##J                                                          \
               : "l"(a), "l"(b), "r"(accumulate), "n"(int(MajorA)), "n"(int(MajorB)))

// Factors that are not of 16 bits have no direction to choose. `KIND`: steps along k and types.
#define AIT_WGMMA_ALONG_K(KIND, J, N, A, B, USE)                                             \
  asm volatile("{\n.reg .pred use;\nsetp.ne.b32 use, %" #USE                                 \
               ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N KIND                             \
               " {" AIT_WGMMA_TEXT_##J "}, %" #A ", %" #B ", use, 1, 1;\n}"                  \
               : AIT_WGMMA_SUMS_##J                                                          \
               : "l"(a), "l"(b), "r"(accumulate))

#define AIT_WGMMA_INTEGERS_CASE(J, N, A, B, USE, ...)                                        \
  if constexpr (Columns == N) {                                                              \
    asm volatile("{\n.reg .pred use;\nsetp.ne.b32 use, %" #USE                               \
                 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k32.s32.s8.s8"                \
                 " {" AIT_WGMMA_TEXT_##J "}, %" #A ", %" #B ", use;\n}"                      \
                 : AIT_WGMMA_INTEGERS_##J                                                    \
                 : "l"(a), "l"(b), "r"(accumulate));                                         \
  }

// The instructions of integers come for fewer N.
#define AIT_WGMMA_EACH_INTEGER(CASE) \
  CASE(1, 8, 4, 5, 6) \
  CASE(2, 16, 8, 9, 10) \
  CASE(4, 32, 16, 17, 18) \
  CASE(8, 64, 32, 33, 34) \
  CASE(12, 96, 48, 49, 50) \
  CASE(16, 128, 64, 65, 66) \
  CASE(20, 160, 80, 81, 82) \
  CASE(24, 192, 96, 97, 98) \
  CASE(28, 224, 112, 113, 114) \
  CASE(32, 256, 128, 129, 130)

#define AIT_WGMMA_REGISTERS(TYPE, J, N, A0, A1, A2, A3, B, USE, TB)                          \
  asm volatile("{\n.reg .pred use;\nsetp.ne.b32 use, %" #USE                                 \
               ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE         \
               " {" AIT_WGMMA_TEXT_##J "}, {%" #A0 ", %" #A1 ", %" #A2 ", %" #A3 "}, %" #B   \
               ", use, 1, 1, %" #TB ";\n}"                                                   \
               : AIT_WGMMA_SUMS_##J                                                          \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate),        \
                 "n"(int(MajorB)))

#define AIT_WGMMA_SHARED_CASE(J, N, A, B, USE, TA, TB, ...)    \
  if constexpr (Columns == N) {                                \
    if constexpr (std::is_same_v<Element, half_t>) {           \
      AIT_WGMMA_SHARED("f16", J, N, A, B, USE, TA, TB);        \
    } else if constexpr (std::is_same_v<Element, Tf32>) {      \
      AIT_WGMMA_ALONG_K("k8.f32.tf32.tf32", J, N, A, B, USE);  \
    } else if constexpr (std::is_same_v<Element, float8_e4m3_t>) { \
      AIT_WGMMA_ALONG_K("k32.f32.e4m3.e4m3", J, N, A, B, USE); \
    } else {                                                   \
      AIT_WGMMA_SHARED("bf16", J, N, A, B, USE, TA, TB);       \
    }                                                          \
  }

#define AIT_WGMMA_REGISTERS_CASE(J, N, A0, A1, A2, A3, B, USE, TB)     \
  if constexpr (Columns == N) {                                        \
    if constexpr (std::is_same_v<Element, half_t>) {                   \
      AIT_WGMMA_REGISTERS("f16", J, N, A0, A1, A2, A3, B, USE, TB);    \
    } else {                                                           \
      AIT_WGMMA_REGISTERS("bf16", J, N, A0, A1, A2, A3, B, USE, TB);   \
    }                                                                  \
  }

/// d [64, Columns] = a [64, K] b [K, Columns] (+ d, if `accumulate`), both factors in shared memory
/// (see `SharedMatrix`); K is 32 bytes of elements. The 128 threads of a warpgroup call it together; nobody may touch d until
/// `wait_for_products`. Thread t has, with row = t / 32 * 16 + t % 32 / 4 and column = t % 4 * 2:
/// d[4 j + 0, 1] at (row, 8 j + column + 0, 1), d[4 j + 2, 3] at (row + 8, 8 j + column + 0, 1).
template <class Element, int Columns, Major MajorA = Major::K, Major MajorB = Major::K>
__device__ __forceinline__ void multiply_shared(float (&d)[Columns / 2], std::uint64_t a,
                                                std::uint64_t b, int accumulate) {
  static_assert(Columns % 8 == 0 && Columns >= 8 && Columns <= 256);
  static_assert(std::is_same_v<Element, half_t> || std::is_same_v<Element, bfloat16_t> ||
                ((std::is_same_v<Element, Tf32> || std::is_same_v<Element, float8_e4m3_t>) &&
                 MajorA == Major::K && MajorB == Major::K));
  AIT_WGMMA_EACH(AIT_WGMMA_SHARED_CASE)
}

/// The same of 8-bit integers, both along k (K is 32): sums are exact.
template <class Element, int Columns, Major MajorA, Major MajorB>
__device__ __forceinline__ void multiply_shared(int (&d)[Columns / 2], std::uint64_t a,
                                                std::uint64_t b, int accumulate) {
  static_assert(Columns == 8 || Columns == 16 || (Columns % 32 == 0 && Columns <= 256));
  static_assert(std::is_same_v<Element, std::int8_t> && MajorA == Major::K && MajorB == Major::K);
  AIT_WGMMA_EACH_INTEGER(AIT_WGMMA_INTEGERS_CASE)
}

/// The same with a in registers: a[0] and a[1] are at rows `row` and `row + 8` the pair of k from
/// `column` on, a[2] and a[3] the pair of k from `column + 8` on. Nobody may change a either.
template <class Element, int Columns, Major MajorB = Major::K>
__device__ __forceinline__ void multiply_registers(float (&d)[Columns / 2],
                                                   const std::uint32_t (&a)[4], std::uint64_t b,
                                                   int accumulate) {
  static_assert(Columns % 8 == 0 && Columns >= 8 && Columns <= 256);
  static_assert(std::is_same_v<Element, half_t> || std::is_same_v<Element, bfloat16_t>);
  AIT_WGMMA_EACH(AIT_WGMMA_REGISTERS_CASE)
}

#undef AIT_WGMMA_EACH
#undef AIT_WGMMA_SHARED
#undef AIT_WGMMA_ALONG_K
#undef AIT_WGMMA_INTEGERS_CASE
#undef AIT_WGMMA_EACH_INTEGER
#undef AIT_WGMMA_REGISTERS
#undef AIT_WGMMA_SHARED_CASE
#undef AIT_WGMMA_REGISTERS_CASE

}  // namespace ait::cuda
