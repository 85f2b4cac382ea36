// Tests of the CPU kernel headers against plain loops. Prints each failure; exits 1 if there is one.
//
// Built with several instruction sets, and with sanitizers, by test_headers.py.
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "ait/attention.hpp"
#include "ait/back_to_back_gemm.hpp"
#include "ait/conv.hpp"
#include "ait/gather.hpp"
#include "ait/gemm.hpp"
#include "ait/gemm_rowwise.hpp"
#include "ait/pointwise.hpp"
#include "ait/pool.hpp"
#include "ait/reduce.hpp"
#include "ait/resize.hpp"
#include "ait/rowwise.hpp"

// A stand-in for the runtime: ranges go to threads that are made on the spot.
namespace ait {

class ThreadPool {};

int thread_count(const Launch& launch) noexcept { return launch.pool ? 3 : 1; }

Status error(ait_status code, const char* format, ...) {
  char text[256];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return {code, text};
}

namespace detail {

void run_on_pool(ThreadPool&, int64_t count, int64_t grain, RangeFunction function,
                 void* closure) noexcept {
  std::vector<std::thread> threads;
  for (int64_t begin = 0; begin < count; begin += 2 * grain) {
    threads.emplace_back([=] { function(closure, begin, std::min(count, begin + 2 * grain)); });
    if (threads.size() == 3) {
      for (auto& thread : threads) thread.join();
      threads.clear();
    }
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace detail
}  // namespace ait

namespace {

using std::int64_t;

int failures = 0;
ait::ThreadPool the_pool;
const ait::Launch kLaunches[] = {{nullptr, nullptr}, {&the_pool, nullptr}};

void fail(const std::string& what, const std::string& why) {
  std::printf("%s: %s\n", what.c_str(), why.c_str());
  ++failures;
}

/// Reports the largest difference if it exceeds `tolerance` of the largest magnitude.
void compare(const std::string& what, const std::vector<float>& got,
             const std::vector<double>& want, double tolerance) {
  double scale = 1.0;
  for (const double value : want) {
    if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  }
  for (std::size_t i = 0; i < want.size(); ++i) {
    const bool same = got[i] == static_cast<float>(want[i]) ||
                      (std::isnan(got[i]) && std::isnan(want[i])) ||
                      std::abs(got[i] - want[i]) <= tolerance * scale;
    if (same) continue;
    char text[128];
    std::snprintf(text, sizeof text, "element %zu is %g, expected %g", i, got[i], want[i]);
    fail(what, text);
    return;
  }
}

template <typename T>
std::vector<T> random_values(int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<T> values(static_cast<std::size_t>(std::max<int64_t>(count, 1)));
  for (T& value : values) value = ait::convert<T>(uniform(engine));
  return values;
}

template <typename T>
double at(const std::vector<T>& values, int64_t index) {
  return ait::load<float>(values.data(), index);
}

// Scalars --------------------------------------------------------------------------------------

double ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  const float rounded = static_cast<float>(want);
  if (std::isinf(rounded) || !std::isfinite(got)) {
    // One of them may still round to the largest finite number.
    return got == rounded || std::abs(want) > 3.4028e38 ? 0 : 1e9;
  }
  int exponent = 0;
  std::frexp(want, &exponent);
  return std::abs(got - want) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

void check_function(const char* name, double most, const std::function<float(float)>& function,
                    const std::function<double(double)>& exact) {
  double worst = 0;
  float where = 0;
  for (std::uint64_t bits = 0; bits < (1ull << 32); bits += 20011) {
    const float x = ait::bit_cast<float>(static_cast<std::uint32_t>(bits));
    const double error = ulps(function(x), exact(static_cast<double>(x)));
    if (!(error <= worst)) {
      worst = error;
      where = x;
    }
  }
  if (worst <= most) return;
  char text[128];
  std::snprintf(text, sizeof text, "%.3g ulp at %a: %g", worst, where, function(where));
  fail(name, text);
}

void test_functions() {
  const float infinity = std::numeric_limits<float>::infinity();
  check_function("exp", 1, ait::exp, [](double x) { return std::exp(x); });
  check_function("exp2", 1, ait::exp2, [](double x) { return std::exp2(x); });
  check_function("expm1", 2, ait::expm1, [](double x) { return std::expm1(x); });
  check_function("log", 1, ait::log, [](double x) { return std::log(x); });
  check_function("log2", 2, ait::log2, [](double x) { return std::log2(x); });
  check_function("log1p", 2, ait::log1p, [](double x) { return std::log1p(x); });
  check_function("tanh", 3, ait::tanh, [](double x) { return std::tanh(x); });
  check_function("sigmoid", 3, ait::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); });
  check_function("erf", 2, ait::erf, [](double x) { return std::erf(x); });
  check_function("sin", 2, ait::sin, [](double x) { return std::sin(x); });
  check_function("cos", 2, ait::cos, [](double x) { return std::cos(x); });
  check_function("rsqrt", 2, ait::rsqrt, [](double x) { return 1 / std::sqrt(x); });
  check_function("floor", 0, ait::floor, [](double x) { return std::floor(x); });
  check_function("ceil", 0, ait::ceil, [](double x) { return std::ceil(x); });
  check_function("trunc", 0, ait::trunc, [](double x) { return std::trunc(x); });
  check_function("roundeven", 0, ait::roundeven, [](double x) { return std::nearbyint(x); });
  for (const float y : {2.0f, 0.5f, 3.0f, -1.0f, 13.7f, 0.0f, infinity, -infinity}) {
    check_function("pow(x, .)", 1, [y](float x) { return ait::pow(x, y); },
                   [y](double x) { return std::pow(x, static_cast<double>(y)); });
  }
  for (const float x : {2.0f, -3.0f, 0.9f, 0.0f, -0.0f, -1.0f, 1.0f, infinity, -infinity}) {
    check_function("pow(., y)", 1, [x](float y) { return ait::pow(x, y); },
                   [x](double y) { return std::pow(static_cast<double>(x), y); });
  }
}

void expect(bool condition, const char* what) {
  if (!condition) fail("expectation", what);
}

void test_conversions() {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = ait::half_to_float(half);
    if (std::isnan(value)) {
      expect(std::isnan(ait::half_to_float(ait::float_to_half(value))), "f16 NaN");
      continue;
    }
    expect(ait::float_to_half(value) == half, "f16 round trip");
    const float above = ait::half_to_float(static_cast<std::uint16_t>(bits + 1));
    if ((bits & 0x7fff) < 0x7bff) {  // ties go to even
      const float middle = value + (above - value) / 2;
      const auto even = static_cast<std::uint16_t>(bits + (bits & 1));
      expect(ait::float_to_half(middle) == even, "f16 tie");
      expect(ait::float_to_half(std::nextafter(middle, value)) == half, "f16 below a tie");
    }
    const float wide = ait::bfloat16_to_float(half);
    if (!std::isnan(wide)) expect(ait::float_to_bfloat16(wide) == half, "bf16 round trip");
  }
  for (std::uint32_t bits = 0; bits < 256; ++bits) {
    const auto code = static_cast<std::uint8_t>(bits), next = static_cast<std::uint8_t>(bits + 1);
    const float value = ait::float8_e4m3_to_float(code);
    const bool is_nan = (bits & 0x7f) == 0x7f;
    expect(std::isnan(value) == is_nan, "e4m3 NaN");
    expect(((ait::float_to_float8_e4m3(value) ^ code) & (is_nan ? 0x7f : 0xff)) == 0,
           "e4m3 round trip");
    if (is_nan) continue;
    const int exponent = static_cast<int>(bits >> 3 & 15), mantissa = static_cast<int>(bits & 7);
    const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                     : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
    expect(value == std::copysign(size, bits & 0x80 ? -1.0f : 1.0f), "e4m3 value");
    // What would be the number above 448 is NaN: it takes what rounds to it.
    const float above = (bits & 0x7f) == 0x7e ? std::copysign(480.0f, value)
                                              : ait::float8_e4m3_to_float(next);
    const float middle = value + (above - value) / 2;
    expect(ait::float_to_float8_e4m3(middle) == (bits & 1 ? next : code), "e4m3 tie");
    expect(ait::float_to_float8_e4m3(std::nextafter(middle, value)) == code, "e4m3 below a tie");
    expect((ait::float_to_float8_e4m3(std::nextafter(middle, above)) & 0x7f) == (next & 0x7f),
           "e4m3 above a tie");
  }
  for (const float large : {480.0f, 1e9f, -1e30f, HUGE_VALF, -HUGE_VALF, NAN}) {
    expect((ait::float_to_float8_e4m3(large) & 0x7f) == 0x7f, "e4m3 overflow");
  }
  std::vector<ait::float8_e4m3_t> codes;
  for (int i = 0; i < 256; ++i) codes.push_back({static_cast<std::uint8_t>(i)});
  for (int i = 0; i + ait::kLanes <= 256; ++i) {
    float lanes[ait::kLanes];
    ait::store_vector(lanes, ait::load_vector(codes.data() + i));
    for (int lane = 0; lane < ait::kLanes; ++lane) {
      const float one = ait::load<float>(codes.data(), i + lane);
      expect(lanes[lane] == one || (std::isnan(lanes[lane]) && std::isnan(one)), "e4m3 vector");
    }
  }
  expect(ait::float_to_half(65519.9f) == 0x7bff, "f16 largest");
  expect(ait::float_to_half(65520.0f) == 0x7c00, "f16 overflow");
  expect(ait::float_to_bfloat16(1.00390625f) == 0x3f80, "bf16 tie to even");
  expect(ait::float_to_bfloat16(1.01171875f) == 0x3f82, "bf16 tie to even, upwards");
  expect(std::isnan(ait::bfloat16_to_float(ait::float_to_bfloat16(NAN))), "bf16 NaN");
  const float values[] = {0.0f, -0.0f, 1.0f, 65504.0f, 1e-7f, 3e-8f, 1e6f, -2.5f, 6e-5f};
  std::vector<ait::half_t> halves;
  for (int i = 0; i < 40; ++i) {
    halves.push_back({ait::float_to_half(values[i % 9] * static_cast<float>(i))});
  }
  halves[3].bits = 0x7c00;
  float row[40];
  ait::load_row(halves.data(), 40, row);
  for (int i = 0; i < 40; ++i) expect(row[i] == ait::load<float>(halves.data(), i), "f16 row");

  expect(ait::convert<std::int32_t>(3e9f) == INT32_MAX, "saturates above");
  expect(ait::convert<std::int32_t>(-3e9f) == INT32_MIN, "saturates below");
  expect(ait::convert<std::int64_t>(1e30f) == INT64_MAX, "saturates to i64");
  expect(ait::convert<std::int8_t>(-128.9f) == -128, "truncates to the least");
  expect(ait::convert<std::int8_t>(127.9f) == 127, "truncates to the greatest");
  expect(ait::convert<std::int32_t>(NAN) == 0, "NaN to 0");
  expect(ait::convert<std::int8_t>(std::int64_t{300}) == 44, "wraps");
  expect(ait::convert<bool>(0.5f) && ait::convert<bool>(NAN) && !ait::convert<bool>(-0.0f), "bool");
  expect(ait::convert<std::int64_t>(true) == 1, "bool to int");
}

void test_integers() {
  expect(ait::floor_divide(-7, 2) == -4 && ait::remainder(-7, 2) == 1, "floor");
  expect(ait::floor_divide(7, -2) == -4 && ait::remainder(7, -2) == -1, "negative divisor");
  expect(ait::floor_divide(INT32_MIN, -1) == INT32_MIN && ait::remainder(INT32_MIN, -1) == 0, "wrap");
  expect(ait::floor_divide(5, 0) == 0 && ait::remainder(5, 0) == 0, "by zero");
  expect(ait::add(INT64_MAX, int64_t{1}) == INT64_MIN && ait::neg(INT64_MIN) == INT64_MIN, "add");
  expect(ait::mul(INT32_MAX, 2) == -2 && ait::abs(INT32_MIN) == INT32_MIN, "mul, abs");
  expect(ait::remainder(-5.5f, 2.0f) == 0.5f && ait::floor_divide(-5.5f, 2.0f) == -3.0f, "floats");
  expect(std::isnan(ait::maximum(NAN, 1.0f)) && std::isnan(ait::maximum(1.0f, NAN)), "maximum NaN");
  expect(std::isnan(ait::minimum(NAN, 1.0f)) && std::isnan(ait::minimum(1.0f, NAN)), "minimum NaN");
}

// Products -------------------------------------------------------------------------------------

/// Of a [batch, rows, columns] tensor, either of the two contiguous, with gaps.
struct Strides {
  int64_t batch, row, column, size;

  static Strides of(int64_t batch, int64_t rows, int64_t columns, bool transposed, int64_t gap) {
    if (transposed) return {columns * (rows + gap), 1, rows + gap, batch * columns * (rows + gap)};
    return {rows * (columns + gap), columns + gap, 1, batch * rows * (columns + gap)};
  }
};

/// A product whose rows go through a row operation that changes nothing.
template <typename A, typename B, typename Epilogue>
void multiply_rows(const ait::Launch& launch, const ait::GemmShape& shape, const A& a, const B& b,
                   const Epilogue& epilogue) {
  const auto same = [](const float* v, int64_t count, float* y) { std::copy_n(v, count, y); };
  ait::gemm_rowwise(
      launch, shape, a, b, same,
      [&](int64_t, int64_t, const float* sums, float* v) { same(sums, shape.n, v); },
      [&](int64_t batch, int64_t m, const float*, const float*, const float* y) {
        epilogue(batch, m, int64_t{0}, shape.n, y);
      });
}

/// A product that is multiplied by the identity, with batches that are all the same.
template <typename A, typename B, typename Epilogue>
void multiply_twice(const ait::Launch& launch, const ait::GemmShape& shape, const A& a, const B& b,
                    const Epilogue& epilogue) {
  std::vector<float> identity(static_cast<std::size_t>(shape.n * shape.n), 0.0f);
  for (int64_t i = 0; i < shape.n; ++i) identity[static_cast<std::size_t>(i * shape.n + i)] = 1.0f;
  const auto second =
      ait::matrix(identity.data(), ait::axis(), ait::axis(shape.n), ait::unit_axis());
  ait::back_to_back_gemm(
      launch, {shape.batch, shape.m, shape.n, shape.k, shape.n}, a, b, second,
      [](int64_t, int64_t, float*) {},
      [&](int64_t batch, int64_t m, const float* sums) {
        epilogue(batch, m, int64_t{0}, shape.n, sums);
      });
}

/// The products of a with one or two right factors, added up as 1 + p_0 + 2 * p_1.
template <ait::GemmPath kPath, typename A, typename... Bs>
void check_gemm(const std::string& what, const ait::GemmShape& shape, const ait::GemmTile& tile,
                const A& a, const Bs&... rights) {
  const int64_t m_stride = shape.n + 3;
  std::vector<double> want(static_cast<std::size_t>(shape.batch * shape.m * m_stride), -7.0);
  for (int64_t batch = 0; batch < shape.batch; ++batch) {
    for (int64_t m = 0; m < shape.m; ++m) {
      for (int64_t n = 0; n < shape.n; ++n) {
        double total = 1.0, weight = 0.0;
        const auto add = [&](const auto& b) {
          double sum = 0;
          for (int64_t k = 0; k < shape.k; ++k) {
            const int64_t at = a.batch(batch) + a.row(m) + a.column(k);
            sum += static_cast<double>(ait::load<float>(a.data, at)) *
                   ait::load<float>(b.data, b.batch(batch) + b.row(k) + b.column(n));
          }
          total += (weight += 1.0) * sum;
        };
        (add(rights), ...);
        want[static_cast<std::size_t>((batch * shape.m + m) * m_stride + n)] = total;
      }
    }
  }
  for (const ait::Launch& launch : kLaunches) {
    std::vector<float> got(want.size(), -7.0f);
    std::vector<int> touched(got.size(), 0);
    const auto epilogue = [&](int64_t batch, int64_t m, int64_t n0, int64_t count,
                              const auto*... sums) {
      for (int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::size_t>((batch * shape.m + m) * m_stride + n0 + i);
        float total = 1.0f, weight = 0.0f;
        const auto add = [&](float sum) { total += (weight += 1.0f) * sum; };
        (add(sums[i]), ...);
        got[at] = total;
        ++touched[at];
      }
    };
    const auto check = [&](const std::string& which) {
      for (std::size_t i = 0; i < want.size(); ++i) {
        if (touched[i] != (want[i] == -7.0 ? 0 : 1)) fail(which, "an element was not written once");
      }
      const double scale = sizeof...(Bs) == 1 ? 1.0 : 3.0;
      compare(which, got, want, scale * 2e-6 * std::sqrt(static_cast<double>(shape.k) + 1));
      std::fill(got.begin(), got.end(), -7.0f);
      std::fill(touched.begin(), touched.end(), 0);
    };
    if constexpr (sizeof...(Bs) == 1) {
      ait::gemm<kPath>(launch, shape, a, rights..., epilogue, tile);
      check(what);
      if constexpr (kPath == ait::GemmPath::blocked) {
        multiply_rows(launch, shape, a, rights..., epilogue);
        check(what + " by rows");
        multiply_twice(launch, shape, a, rights..., epilogue);
        check(what + " twice");
      }
    } else {
      ait::dual_gemm<kPath>(launch, shape, a, rights..., epilogue, tile);
      check(what);
    }
  }
}

/// All layouts of a and b, and second factors of the same layout as b and of the other one. The path
/// stands for itself where the right factors allow it.
template <ait::GemmPath kPath, typename A, typename B>
void check_layouts(const char* types, const ait::GemmShape& shape, const ait::GemmTile& tile) {
  using ait::axis;
  using ait::unit_axis;
  const auto check = [&](const char* layouts, const auto& a, const auto&... rights) {
    char what[128];
    std::snprintf(what, sizeof what, "gemm %s %ldx%ldx%ldx%ld %s path %d", types,
                  static_cast<long>(shape.batch), static_cast<long>(shape.m),
                  static_cast<long>(shape.n), static_cast<long>(shape.k), layouts,
                  static_cast<int>(kPath));
    check_gemm<kPath>(what, shape, tile, a, rights...);
  };
  const auto by_rows = [](const auto& values, const Strides& s) {
    return ait::matrix(values.data(), axis(s.batch), axis(s.row), unit_axis());
  };
  const auto by_columns = [](const auto& values, const Strides& s) {
    return ait::matrix(values.data(), axis(s.batch), unit_axis(), axis(s.column));
  };
  const Strides a_rows = Strides::of(shape.batch, shape.m, shape.k, false, 1);
  const Strides a_columns = Strides::of(shape.batch, shape.m, shape.k, true, 1);
  const Strides b_rows = Strides::of(shape.batch, shape.k, shape.n, false, 2);
  const Strides b_columns = Strides::of(shape.batch, shape.k, shape.n, true, 2);
  const auto a = random_values<A>(std::max(a_rows.size, a_columns.size), 1);
  const auto b = random_values<B>(std::max(b_rows.size, b_columns.size), 2);
  const auto c = random_values<B>(std::max(b_rows.size, b_columns.size), 5);
  check("n n", by_rows(a, a_rows), by_rows(b, b_rows));
  check("t n", by_columns(a, a_columns), by_rows(b, b_rows));
  check("n t", by_rows(a, a_rows), by_columns(b, b_columns));
  check("t t", by_columns(a, a_columns), by_columns(b, b_columns));
  check("n nn", by_rows(a, a_rows), by_rows(b, b_rows), by_rows(c, b_rows));
  check("n tt", by_rows(a, a_rows), by_columns(b, b_columns), by_columns(c, b_columns));
  check("t nt", by_columns(a, a_columns), by_rows(b, b_rows), by_columns(c, b_columns));
}

/// Groups of two dims that are no single stride.
void check_groups(int64_t m0, int64_t m1, int64_t n0, int64_t n1, int64_t k0, int64_t k1,
                  bool contiguous_k) {
  const ait::GemmShape shape{2, m0 * m1, n0 * n1, k0 * k1};
  const auto a = random_values<float>(2 * m0 * m1 * k0 * k1 + 8 * k0 * m1 * m0, 3);
  const auto b = random_values<float>(2 * n0 * n1 * k0 * k1, 4);
  using ait::axis;
  // a[batch, m0, k0, m1, k1], b[batch, k0, n0, k1, n1] or [batch, n0, k0, n1, k1]
  const auto left = ait::matrix(a.data(), axis(m0 * m1 * k0 * k1),
                                axis<2>({m0, m1}, {k0 * m1 * k1, k1}),
                                axis<2>({k0, k1}, {m1 * k1, 1}));
  const auto rows = contiguous_k ? axis<2>({k0, k1}, {n1 * k1, 1})
                                 : axis<2>({k0, k1}, {n0 * k1 * n1, n1});
  const auto columns = contiguous_k ? axis<2>({n0, n1}, {k0 * n1 * k1, k1})
                                    : axis<2>({n0, n1}, {k1 * n1, 1});
  const auto right = ait::matrix(b.data(), axis(n0 * n1 * k0 * k1), rows, columns);
  check_gemm<ait::GemmPath::automatic>("gemm of groups", shape, {48, 32, 7}, left, right);
  check_gemm<ait::GemmPath::automatic>("two gemms of groups", shape, {48, 32, 7}, left, right, right);
}

void test_gemm() {
  using ait::GemmPath;
  const int64_t sizes[][4] = {{1, 1, 1, 1},    {1, 1, 40, 33},  {2, 3, 17, 130}, {1, 2, 64, 5},
                              {1, 4, 33, 16},  {1, 7, 16, 300}, {3, 13, 35, 9},  {1, 100, 50, 70},
                              {1, 37, 300, 20}, {1, 64, 3, 200}, {1, 5, 6, 0}};
  for (const auto& s : sizes) {
    const ait::GemmShape shape{s[0], s[1], s[2], s[3]};
    check_layouts<GemmPath::blocked, float, float>("f32", shape, {});
    check_layouts<GemmPath::blocked, ait::half_t, ait::half_t>("f16", shape, {12, 32, 16});
    check_layouts<GemmPath::dot, float, float>("f32", shape, {});
    check_layouts<GemmPath::stream, float, ait::bfloat16_t>("f32 x bf16", shape, {12, 32, 16});
  }
  check_layouts<GemmPath::blocked, float, float>("f32", {0, 4, 4, 4}, {});
  check_layouts<GemmPath::blocked, float, float>("f32", {1, 0, 4, 4}, {});
  // Too large for the packed panels to be kept.
  check_layouts<GemmPath::blocked, float, float>("f32", {1, 30, 260, 1100}, {});
  check_groups(3, 5, 2, 16, 4, 8, false);
  check_groups(3, 5, 2, 48, 4, 8, false);
  check_groups(2, 9, 3, 7, 3, 5, true);
  check_groups(1, 2, 3, 32, 1, 12, false);
}

// Convolution ----------------------------------------------------------------------------------

template <typename T>
void check_conv(const std::string& what, const ait::ConvShape& s, bool channels_last) {
  const int64_t group_channels = s.group_channels();
  const int64_t pixels = s.height * s.width;
  const auto x = random_values<T>(s.batch * pixels * s.channels, 5);
  const auto w = random_values<T>(s.outputs * s.patch(), 6);
  const int64_t r_size = s.vertical.size, s_size = s.horizontal.size;
  const ait::Image<T> image =
      channels_last
          ? ait::Image<T>{x.data(), pixels * s.channels, s.width * s.channels, s.channels, 1}
          : ait::Image<T>{x.data(), pixels * s.channels, s.width, 1, pixels};
  const ait::Filters<T> filters =
      channels_last ? ait::Filters<T>{w.data(), s.patch(), s_size * group_channels, group_channels, 1}
                    : ait::Filters<T>{w.data(), s.patch(), s_size, 1, r_size * s_size};
  std::vector<double> want;
  for (int64_t m = 0; m < s.pixels(); ++m) {
    const ait::Pixel pixel(m, s.out_height, s.out_width);
    for (int64_t o = 0; o < s.outputs; ++o) {
      double sum = 0;
      for (int64_t r = 0; r < r_size; ++r) {
        for (int64_t q = 0; q < s_size; ++q) {
          const int64_t y = s.vertical.first(pixel.y) + r * s.vertical.dilation;
          const int64_t z = s.horizontal.first(pixel.x) + q * s.horizontal.dilation;
          if (y < 0 || y >= s.height || z < 0 || z >= s.width) continue;
          for (int64_t c = 0; c < group_channels; ++c) {
            const int64_t channel = o / s.group_outputs() * group_channels + c;
            const T* from = image.at(pixel.image, y, z) + channel * image.c;
            sum += static_cast<double>(ait::load<float>(from, 0)) *
                   ait::load<float>(filters.data, o * filters.o + r * filters.r + q * filters.s +
                                                      c * filters.c);
          }
        }
      }
      want.push_back(sum);
    }
  }
  for (const ait::Launch& launch : kLaunches) {
    std::vector<float> got(want.size(), -7.0f);
    const auto store = [&](int64_t m, int64_t o, int64_t count, const float* sums) {
      for (int64_t i = 0; i < count; ++i) {
        got[static_cast<std::size_t>(m * s.outputs + o + i)] = sums[i];
      }
    };
    if (s.groups > 1 && s.groups == s.channels && s.groups == s.outputs) {
      ait::depthwise_conv(launch, s, image, filters, store);
    } else if (channels_last) {
      const ait::DenseFilters<T> dense{w.data(), s.patch()};
      ait::conv<ait::GemmPath::blocked>(launch, s, image, dense, store, {24, 256, 40});
    } else {
      ait::conv<ait::GemmPath::blocked>(launch, s, image, filters, store, {24, 256, 40});
    }
    compare(what, got, want, 1e-5);
  }
}

void test_conv() {
  const auto out = [](int64_t size, const ait::Slide& slide, int64_t after) {
    return (size + slide.padding + after - (slide.size - 1) * slide.dilation - 1) / slide.stride + 1;
  };
  struct Case {
    const char* name;
    int64_t batch, height, width, channels, outputs, groups;
    ait::Slide vertical, horizontal;
    int64_t bottom, right;
  };
  const Case cases[] = {
      {"conv 3x3", 2, 9, 11, 8, 20, 1, {3, 1, 1, 1}, {3, 1, 1, 1}, 1, 1},
      {"conv 7x7 of 3 channels", 1, 20, 19, 3, 17, 1, {7, 2, 3, 1}, {7, 2, 3, 1}, 3, 3},
      {"conv 1x1", 2, 6, 5, 24, 18, 1, {1, 1, 0, 1}, {1, 1, 0, 1}, 0, 0},
      {"conv 1x1 strided", 1, 7, 7, 16, 33, 1, {1, 2, 0, 1}, {1, 2, 0, 1}, 0, 0},
      {"conv 1x1 padded", 1, 5, 5, 6, 7, 1, {1, 1, 1, 1}, {1, 1, 0, 1}, 1, 2},
      {"conv dilated", 1, 12, 13, 5, 6, 1, {3, 1, 2, 2}, {2, 1, 1, 3}, 2, 1},
      {"conv grouped", 1, 8, 8, 12, 18, 3, {3, 1, 1, 1}, {3, 2, 1, 1}, 1, 1},
      {"conv depthwise", 2, 9, 9, 41, 41, 41, {3, 1, 1, 1}, {3, 1, 1, 1}, 1, 1},
      {"conv depthwise strided", 1, 10, 9, 40, 40, 40, {5, 2, 2, 1}, {3, 2, 1, 2}, 2, 1},
      {"conv depthwise x 2", 1, 6, 6, 4, 8, 4, {3, 1, 1, 1}, {3, 1, 1, 1}, 1, 1},
      {"conv all padding", 1, 1, 1, 3, 4, 1, {3, 1, 4, 1}, {3, 1, 4, 1}, 4, 4},
      {"conv of no image", 0, 4, 4, 3, 4, 1, {3, 1, 1, 1}, {3, 1, 1, 1}, 1, 1},
  };
  for (const Case& c : cases) {
    const ait::ConvShape shape{c.batch, c.height, c.width, c.channels,
                               out(c.height, c.vertical, c.bottom),
                               out(c.width, c.horizontal, c.right),
                               c.outputs, c.vertical, c.horizontal, c.groups};
    for (const bool channels_last : {true, false}) {
      check_conv<float>(c.name, shape, channels_last);
      check_conv<ait::half_t>(std::string(c.name) + " f16", shape, channels_last);
    }
  }
}

// Attention ------------------------------------------------------------------------------------

template <typename T>
void check_attention(const ait::AttentionShape& s, bool masked) {
  const auto q = random_values<T>(s.batch * s.queries * s.heads * s.depth, 7);
  const auto k = random_values<T>(s.batch * s.keys * s.kv_heads * s.depth, 8);
  const auto v = random_values<T>(s.batch * s.keys * s.kv_heads * s.value_depth, 9);
  // [batch, sequence, head, depth] in memory, as a fused projection writes it.
  const auto heads = [](const std::vector<T>& data, int64_t sequence, int64_t heads, int64_t depth) {
    return ait::Heads<T>{data.data(), sequence * heads * depth, depth, heads * depth, 1};
  };
  const auto hq = heads(q, s.queries, s.heads, s.depth);
  const auto hk = heads(k, s.keys, s.kv_heads, s.depth);
  const auto hv = heads(v, s.keys, s.kv_heads, s.value_depth);
  const auto visible = [&](int64_t i, int64_t j) {
    return (!s.causal || j <= i + s.keys - s.queries) && !(masked && (i == 1 || j % 5 == 2));
  };
  const auto row_at = [&](int64_t b, int64_t h, int64_t i) {
    return static_cast<std::size_t>(((b * s.heads + h) * s.queries + i) * s.value_depth);
  };
  std::vector<double> want(row_at(s.batch, 0, 0), 0.0);
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t g = h * s.kv_heads / s.heads;
      for (int64_t i = 0; i < s.queries; ++i) {
        std::vector<double> weight(static_cast<std::size_t>(s.keys), 0.0);
        double total = 0;
        for (int64_t j = 0; j < s.keys; ++j) {
          if (!visible(i, j)) continue;
          double score = 0;
          for (int64_t d = 0; d < s.depth; ++d) {
            score += static_cast<double>(ait::load<float>(hq.at(b, h) + i * hq.sequence, d)) *
                     ait::load<float>(hk.at(b, g) + j * hk.sequence, d);
          }
          total += weight[static_cast<std::size_t>(j)] = std::exp(score * 3.0);
        }
        for (int64_t d = 0; d < s.value_depth && total > 0; ++d) {
          double sum = 0;
          for (int64_t j = 0; j < s.keys; ++j) {
            sum += weight[static_cast<std::size_t>(j)] *
                   ait::load<float>(hv.at(b, g) + j * hv.sequence, d);
          }
          want[row_at(b, h, i) + static_cast<std::size_t>(d)] = sum / total;
        }
      }
    }
  }
  for (const ait::Launch& launch : kLaunches) {
    std::vector<float> got(want.size(), -7.0f);
    ait::attention(
        launch, s, hq, hk, hv,
        [&](int64_t, int64_t, int64_t i, int64_t j0, int64_t count, float* scores) {
          for (int64_t j = 0; j < count; ++j) {
            const bool hidden = masked && (i == 1 || (j0 + j) % 5 == 2);
            scores[j] = hidden ? -INFINITY : scores[j] * 3.0f;
          }
        },
        [&](int64_t b, int64_t h, int64_t i, int64_t count, const float* values) {
          std::copy(values, values + count, got.begin() + static_cast<int64_t>(row_at(b, h, i)));
        });
    char what[128];
    std::snprintf(what, sizeof what, "attention %ldx%ldx%ld of %ld keys, depth %ld %ld%s%s",
                  static_cast<long>(s.batch), static_cast<long>(s.heads),
                  static_cast<long>(s.queries), static_cast<long>(s.keys),
                  static_cast<long>(s.depth), static_cast<long>(s.value_depth),
                  s.causal ? " causal" : "", masked ? " masked" : "");
    compare(what, got, want, 3e-6);
  }
}

void test_attention() {
  for (const bool causal : {false, true}) {
    for (const bool masked : {false, true}) {
      check_attention<float>({2, 4, 2, 37, 50, 16, 24, causal}, masked);
      check_attention<float>({1, 2, 2, 5, 300, 20, 9, causal}, masked);
      check_attention<float>({1, 1, 1, 200, 150, 33, 32, causal}, masked);
      check_attention<float>({1, 6, 1, 1, 130, 32, 32, causal}, masked);
      check_attention<ait::bfloat16_t>({1, 2, 1, 20, 20, 16, 16, causal}, masked);
      check_attention<ait::half_t>({1, 2, 1, 2, 70, 16, 16, causal}, masked);
      check_attention<float>({1, 2, 1, 3, 0, 8, 8, causal}, masked);
    }
  }
}

// Rows, reductions, loops ----------------------------------------------------------------------

template <typename Kind>
void check_rowwise(const char* what, const Kind& kind, int64_t rows, int64_t cols,
                   const std::function<void(const std::vector<double>&, std::vector<double>&)>& exact) {
  const auto x = random_values<float>(rows * cols, 10);
  std::vector<double> want;
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> v, y;
    for (int64_t c = 0; c < cols; ++c) v.push_back(at(x, r * cols + c) * 4.0);
    exact(v, y);
    for (int64_t c = 0; c < cols; ++c) {
      const auto i = static_cast<std::size_t>(c);
      want.push_back(y[i] + v[i]);
    }
  }
  for (const ait::Launch& launch : kLaunches) {
    std::vector<float> got(want.size(), -7.0f);
    ait::rowwise(launch, rows, cols, kind,
                 [&](int64_t r, float* v) {
                   for (int64_t c = 0; c < cols; ++c) {
                     v[c] = x[static_cast<std::size_t>(r * cols + c)] * 4.0f;
                   }
                 },
                 [&](int64_t r, const float* v, const float* y) {
                   for (int64_t c = 0; c < cols; ++c) {
                     got[static_cast<std::size_t>(r * cols + c)] = y[c] + v[c];
                   }
                 });
    compare(what, got, want, 2e-6);
  }
}

using Row = std::vector<double>;

void exact_softmax(const Row& v, Row& y) {
  double total = 0;
  for (const double value : v) total += std::exp(value);
  for (const double value : v) y.push_back(std::exp(value) / total);
}

void exact_norm(const Row& v, Row& y, bool centred) {
  double mean = 0, square = 0;
  const double size = static_cast<double>(v.size());
  for (const double value : v) mean += centred ? value / size : 0;
  for (const double value : v) square += (value - mean) * (value - mean) / size;
  for (const double value : v) y.push_back((value - mean) / std::sqrt(square + 1e-5));
}

void test_rowwise() {
  for (const int64_t cols : {1, 5, 8, 31, 384, 1001}) {
    check_rowwise("softmax", ait::Softmax{}, 7, cols, exact_softmax);
    check_rowwise("log_softmax", ait::LogSoftmax{}, 7, cols, [](const Row& v, Row& y) {
      exact_softmax(v, y);
      for (double& value : y) value = std::log(value);
    });
    check_rowwise("layer_norm", ait::LayerNorm{1e-5f}, 7, cols,
                  [](const Row& v, Row& y) { exact_norm(v, y, true); });
    check_rowwise("rms_norm", ait::RmsNorm{1e-5f}, 7, cols,
                  [](const Row& v, Row& y) { exact_norm(v, y, false); });
  }
  check_rowwise("no rows", ait::Softmax{}, 0, 4, exact_softmax);
  check_rowwise("no cols", ait::Softmax{}, 4, 0, exact_softmax);
  check_rowwise("large", ait::Softmax{}, 100, 1000, exact_softmax);
}

template <typename Kind>
void check_reduce(const char* what, int64_t outer, int64_t red, int64_t run,
                  const std::function<double(double, double)>& combine, double start) {
  // x[outer, red, run], reduced along the middle
  auto x = random_values<float>(outer * red * run, 11);
  for (float& value : x) value += 1.0f;
  const auto element = [&](int64_t keep, int64_t j) {
    return x[static_cast<std::size_t>((keep / run * red + j) * run + keep % run)];
  };
  std::vector<double> want;
  for (int64_t keep = 0; keep < outer * run; ++keep) {
    double total = start;
    for (int64_t j = 0; j < red; ++j) total = combine(total, element(keep, j));
    want.push_back(total);
  }
  for (const ait::Launch& launch : kLaunches) {
    std::vector<float> got(want.size(), -7.0f);
    const auto store = [&](int64_t keep0, int64_t count, const float* results) {
      std::copy(results, results + count, got.begin() + keep0);
    };
    ait::reduce_rows<Kind, float>(
        launch, outer * run, red,
        [&](int64_t keep, int64_t begin, int64_t count, float* v) {
          for (int64_t j = 0; j < count; ++j) v[j] = element(keep, begin + j);
        },
        store);
    compare(std::string(what) + " of rows", got, want, 1e-6);
    std::fill(got.begin(), got.end(), -7.0f);
    ait::reduce_columns<Kind, float>(
        launch, outer * run, run, red,
        [&](int64_t keep0, int64_t count, int64_t j, float* v) {
          for (int64_t i = 0; i < count; ++i) v[i] = element(keep0 + i, j);
        },
        store);
    compare(std::string(what) + " of columns", got, want, 1e-6);
  }
}

void check_argmax(int64_t keep, int64_t red) {
  auto x = random_values<float>(keep * red, 12);
  for (float& value : x) value = std::floor(value * 8.0f);
  if (keep > 2 && red > 3) x[static_cast<std::size_t>(2 * red + 3)] = NAN;
  std::vector<double> want;
  for (int64_t i = 0; i < keep; ++i) {
    int64_t best = 0;
    for (int64_t j = 1; j < red; ++j) {
      const float a = x[static_cast<std::size_t>(i * red + j)];
      const float b = x[static_cast<std::size_t>(i * red + best)];
      if (!std::isnan(b) && (std::isnan(a) || a > b)) best = j;
    }
    want.push_back(static_cast<double>(best));
  }
  for (const ait::Launch& launch : kLaunches) {
    std::vector<float> got(want.size(), -7.0f);
    const auto store = [&](int64_t keep0, int64_t count, const int64_t* results) {
      for (int64_t i = 0; i < count; ++i) {
        got[static_cast<std::size_t>(keep0 + i)] = static_cast<float>(results[i]);
      }
    };
    ait::argmax_rows<float>(
        launch, keep, red,
        [&](int64_t i, int64_t begin, int64_t count, float* v) {
          for (int64_t j = 0; j < count; ++j) v[j] = x[static_cast<std::size_t>(i * red + begin + j)];
        },
        store);
    compare("argmax of rows", got, want, 0);
    ait::argmax_columns<float>(
        launch, keep, keep, red,
        [&](int64_t keep0, int64_t count, int64_t j, float* v) {
          for (int64_t i = 0; i < count; ++i) {
            v[i] = x[static_cast<std::size_t>((keep0 + i) * red + j)];
          }
        },
        store);
    compare("argmax of columns", got, want, 0);
  }
}

void test_reduce() {
  const int64_t sizes[][3] = {{3, 5, 7}, {1, 3000, 1}, {4, 1, 300}, {2, 131, 20}, {1, 1, 1},
                              {1, 200000, 2}, {3, 0, 2}, {0, 3, 1}};
  for (const auto& s : sizes) {
    check_reduce<ait::Sum>("sum", s[0], s[1], s[2], [](double a, double b) { return a + b; }, 0.0);
    check_reduce<ait::Max>("max", s[0], s[1], s[2],
                           [](double a, double b) { return std::max(a, b); }, -INFINITY);
    check_reduce<ait::Min>("min", s[0], s[1], s[2],
                           [](double a, double b) { return std::min(a, b); }, INFINITY);
  }
  check_reduce<ait::Prod>("prod", 3, 20, 4, [](double a, double b) { return a * b; }, 1.0);
  check_argmax(5, 40);
  check_argmax(3, 3000);
  check_argmax(300, 1);
  check_argmax(2, 0);
}

template <int R>
void check_loops(const ait::Outer<R>& outer, int64_t inner) {
  for (const ait::Launch& launch : kLaunches) {
    std::vector<float> got(static_cast<std::size_t>(outer.count() * inner), 0.0f);
    const auto body = [&](const int64_t* index, int64_t begin, int64_t end) {
      int64_t row = 0;
      for (int d = 0; d < R; ++d) row = row * outer.sizes[d] + index[d];
      for (int64_t i = begin; i < end; ++i) got[static_cast<std::size_t>(row * inner + i)] += 1.0f;
    };
    ait::for_each_row(launch, outer, inner, 1, body);
    compare("loop", got, std::vector<double>(got.size(), 1.0), 0);
    if constexpr (R > 0) {
      ait::for_each_tile(launch, outer, inner, 1, body);
      compare("tiles", got, std::vector<double>(got.size(), 2.0), 0);
    }
  }
}

void test_loops() {
  check_loops<0>({{}}, 1);
  check_loops<0>({{}}, 100000);
  check_loops<1>({{1000}}, 77);
  check_loops<1>({{2}}, 50000);
  check_loops<3>({{7, 5, 3}}, 11);
  check_loops<2>({{200, 300}}, 1);
  check_loops<2>({{0, 3}}, 5);
  check_loops<2>({{2, 3}}, 0);
}

void test_gather() {
  const std::vector<int64_t> indices = {0, 3, 2, 9, -1};
  const auto index_at = [&](int64_t i) { return indices[static_cast<std::size_t>(i)]; };
  for (const ait::Launch& launch : kLaunches) {
    expect(ait::check_indices(launch, 4, 10, "x", index_at).is_ok(), "good indices");
    const ait::Status above = ait::check_indices(launch, 4, 9, "table", index_at);
    expect(std::string(above.message()).find("table: index 9 (element 3") == 0, above.message());
    expect(!ait::check_indices(launch, 5, 10, "x", index_at).is_ok(), "a negative index");
    expect(ait::check_indices(launch, 0, 0, "x", index_at).is_ok(), "no indices");
  }
}

// Pooling and resizing -------------------------------------------------------------------------

template <ait::PoolKind kKind>
void check_pool(const ait::PoolShape& s) {
  const auto x = random_values<ait::half_t>(s.batch * s.height * s.width * s.channels, 13);
  const ait::Image<ait::half_t> image{x.data(), s.height * s.width * s.channels,
                                      s.width * s.channels, s.channels, 1};
  std::vector<double> want;
  for (int64_t m = 0; m < s.batch * s.out_height * s.out_width; ++m) {
    const ait::Pixel pixel(m, s.out_height, s.out_width);
    for (int64_t c = 0; c < s.channels; ++c) {
      double sum = 0, largest = -INFINITY;
      int64_t valid = 0, padded = 0;
      for (int64_t r = 0; r < s.vertical.size; ++r) {
        for (int64_t q = 0; q < s.horizontal.size; ++q) {
          const int64_t y = s.vertical.first(pixel.y) + r * s.vertical.dilation;
          const int64_t z = s.horizontal.first(pixel.x) + q * s.horizontal.dilation;
          if (y < s.height + s.padding_bottom && z < s.width + s.padding_right) ++padded;
          if (y < 0 || y >= s.height || z < 0 || z >= s.width) continue;
          const double value = ait::load<float>(image.at(pixel.image, y, z), c);
          sum += value;
          largest = std::max(largest, value);
          ++valid;
        }
      }
      const int64_t divisor = s.count_padding ? padded : valid;
      want.push_back(kKind == ait::PoolKind::max ? largest : sum / static_cast<double>(divisor));
    }
  }
  for (const ait::Launch& launch : kLaunches) {
    std::vector<float> got(want.size(), -7.0f);
    ait::pool<kKind>(launch, s, image, [&](int64_t m, const float* values) {
      std::copy(values, values + s.channels, got.begin() + m * s.channels);
    });
    compare("pool", got, want, 1e-6);
  }
}

void test_pool() {
  const ait::PoolShape shapes[] = {
      {2, 9, 10, 19, 5, 5, {3, 2, 1, 1}, {3, 2, 1, 1}, 1, 1, false, false},
      {1, 7, 7, 8, 4, 4, {2, 2, 0, 1}, {2, 2, 0, 1}, 0, 0, true, false},
      {1, 9, 9, 3, 3, 5, {3, 2, 0, 2}, {2, 2, 1, 2}, 0, 1, true, false},
  };
  for (const auto& shape : shapes) {
    check_pool<ait::PoolKind::max>(shape);
    if (shape.horizontal.dilation == 1) check_pool<ait::PoolKind::average>(shape);
  }
  // Adaptive windows: rows 0-2, 2-4 of 5; columns 0-1, 1-2, 2-3 of 4.
  ait::PoolShape adaptive{1, 5, 4, 1, 2, 3, {}, {}, 0, 0, false, true};
  std::vector<float> x;
  for (int i = 0; i < 20; ++i) x.push_back(static_cast<float>(i));
  std::vector<float> got(6, -7.0f);
  ait::pool<ait::PoolKind::average>(kLaunches[0], adaptive, ait::Image<float>{x.data(), 20, 4, 1, 1},
                                    [&](int64_t m, const float* v) { got[static_cast<std::size_t>(m)] = v[0]; });
  compare("adaptive pool", got, {4.5, 5.5, 6.5, 12.5, 13.5, 14.5}, 0);
}

template <ait::ResizeMode kMode, ait::Coordinates kCoordinates>
void check_resize(const char* what, const std::vector<float>& x, const std::vector<double>& want) {
  const auto size = static_cast<int64_t>(x.size());
  const ait::ResizeShape shape{1, 1, size, 1, 1, static_cast<int64_t>(want.size())};
  std::vector<float> got(want.size(), -7.0f);
  ait::resize<kMode, kCoordinates>(
      kLaunches[0], shape, ait::Image<float>{x.data(), size, size, 1, 1},
      [&](int64_t m, const float* v) { got[static_cast<std::size_t>(m)] = v[0]; });
  compare(what, got, want, 1e-6);
}

void test_resize() {
  using ait::Coordinates;
  using ait::ResizeMode;
  check_resize<ResizeMode::nearest, Coordinates::half_pixel>("nearest up", {1, 2, 3},
                                                             {1, 1, 2, 2, 3, 3});
  check_resize<ResizeMode::nearest, Coordinates::half_pixel>("nearest down", {1, 2, 3, 4}, {1, 3});
  check_resize<ResizeMode::nearest, Coordinates::asymmetric>("nearest asymmetric", {1, 2, 3},
                                                             {1, 1, 2, 2, 3, 3});
  check_resize<ResizeMode::nearest, Coordinates::align_corners>("nearest corners", {1, 2, 3},
                                                                {1, 1, 2, 2, 3});
  check_resize<ResizeMode::bilinear, Coordinates::half_pixel>("bilinear", {1, 2},
                                                              {1, 1.25, 1.75, 2});
  check_resize<ResizeMode::bilinear, Coordinates::align_corners>("bilinear corners", {1, 2, 4},
                                                                 {1, 1.5, 2, 3, 4});
  check_resize<ResizeMode::bilinear, Coordinates::align_corners>("bilinear to one", {3, 2, 4}, {3});
  check_resize<ResizeMode::bilinear, Coordinates::asymmetric>("bilinear asymmetric", {1, 2},
                                                              {1, 1.5, 2, 2});
}

}  // namespace

int main() {
  test_functions();
  test_conversions();
  test_integers();
  test_gemm();
  test_conv();
  test_attention();
  test_rowwise();
  test_reduce();
  test_loops();
  test_gather();
  test_pool();
  test_resize();
  if (failures == 0) std::printf("ok\n");
  return failures == 0 ? 0 : 1;
}
