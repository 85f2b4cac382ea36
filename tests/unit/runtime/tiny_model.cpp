// A model written by hand in the form of generated code: y = x * w + b * scale + sum of s per row.
//
//   inputs   x f32[batch, 4], s f32[batch * 2]       outputs  y f32[batch, 4]
//   weights  w f32[4], b f32[4], scale f32[]         derived  folded f32[4] = b * scale
//
// Variants: TINY_EXTERNAL embeds no weights; TINY_FROZEN keeps neither b nor scale; TINY_FAKE_GPU
// runs on the device of device_fake.cpp.
#include <cmath>

#include "ait/model.hpp"
#ifdef TINY_FAKE_GPU
#include <vector>

#include "device_fake.hpp"
#endif

extern "C" __attribute__((visibility("hidden"))) const unsigned char ait_weights_blob[];

namespace {

constexpr int64_t kWidth = 4;

AIT_METADATA_SECTION const char kMetadata[] = R"({"name": "tiny", "target": "cpu", "steps": [{"kernel": "all", "source": "everything"}]})";

constexpr ait::DimDescription kX[] = {{"batch", 1, 64}, {"4", kWidth, kWidth}};
constexpr ait::DimDescription kS[] = {{"batch * 2", 2, 128}};
constexpr ait::PortDescription kInputs[] = {
    {"x", ait::DType::f32, 2, kX},
    {"s", ait::DType::f32, 1, kS},
};
constexpr ait::PortDescription kOutputs[] = {{"y", ait::DType::f32, 2, kX}};
constexpr ait::SymbolDescription kSymbols[] = {{"batch", 1, 64}};
constexpr ait::BindDescription kBinds[] = {{0, 0, 0}};

#ifdef TINY_EXTERNAL
constexpr int64_t at(int64_t) { return -1; }
#else
constexpr int64_t at(int64_t offset) { return offset; }
#endif

#ifdef TINY_FROZEN
constexpr ait::WeightRole kFoldedAway = ait::WeightRole::frozen;
#else
constexpr ait::WeightRole kFoldedAway = ait::WeightRole::raw;
#endif

constexpr int64_t kShape[] = {kWidth};
constexpr ait::WeightDescription kWeights[] = {
    {"w", ait::DType::f32, 1, kShape, 16, at(0), ait::WeightRole::raw, nullptr},
    {"b", ait::DType::f32, 1, kShape, 16, at(64), kFoldedAway, nullptr},
    {"scale", ait::DType::f32, 0, nullptr, 4, at(128), kFoldedAway, nullptr},
    {"folded", ait::DType::f32, 1, kShape, 16, at(192), ait::WeightRole::derived, "abc"},
};

int64_t input_dim(int32_t input, int32_t axis, const int64_t* symbols) {
  if (input == 1) return symbols[0] * 2;
  return axis == 0 ? symbols[0] : kWidth;
}

int64_t output_dim(int32_t, int32_t axis, const int64_t* symbols) {
  return axis == 0 ? symbols[0] : kWidth;
}

int64_t workspace_bytes(const int64_t* symbols) { return symbols[0] * kWidth * 4; }

const float* floats(void* const* pointers, int index) {
  return static_cast<const float*>(pointers[index]);
}

#ifdef TINY_FAKE_GPU
// What a kernel on a real GPU would answer with a fault.
ait::Status check_memory(const ait::RunArguments& arguments) {
  const std::size_t rows = static_cast<std::size_t>(arguments.symbols[0]);
  const bool on_device = ait::device::is_device_memory(arguments.inputs[0], rows * 16) &&
                         ait::device::is_device_memory(arguments.inputs[1], rows * 8) &&
                         ait::device::is_device_memory(arguments.outputs[0], rows * 16) &&
                         ait::device::is_device_memory(arguments.weights[0], 16) &&
                         ait::device::is_device_memory(arguments.weights[3], 16) &&
                         ait::device::is_device_memory(arguments.workspace, rows * 16) &&
                         arguments.launch.stream != nullptr;
  return on_device ? ait::ok() : ait::error(AIT_DEVICE_ERROR, "FAKE error: illegal access");
}

// What a kernel on a real GPU would write while the host has gone on: here of an infinite s.
void report(const ait::RunArguments& arguments) {
  const float* s = floats(arguments.inputs, 1);
  ait::DeviceReport* record = arguments.launch.report;
  for (int64_t i = 0; i < 2 * arguments.symbols[0]; ++i) {
    if (!std::isinf(s[i]) || record == nullptr || record->is_raised) continue;
    *record = ait::DeviceReport{1, 0, -7, i, 5};
  }
}
#else
ait::Status check_memory(const ait::RunArguments&) { return ait::ok(); }
void report(const ait::RunArguments&) {}
#endif

ait::Status compute(const ait::RunArguments& arguments) {
  AIT_TRY(check_memory(arguments));
  report(arguments);
  const float* x = floats(arguments.inputs, 0);
  const float* s = floats(arguments.inputs, 1);
  const float* w = floats(arguments.weights, 0);
  const float* folded = floats(arguments.weights, 3);
  auto* product = static_cast<float*>(arguments.workspace);
  auto* y = static_cast<float*>(arguments.outputs[0]);
  const int64_t rows = arguments.symbols[0];
  for (int64_t i = 0; i < 2 * rows; ++i) {
    if (std::isnan(s[i])) {
      return ait::error(AIT_RUNTIME_ERROR, "s[%lld] is not a number", static_cast<long long>(i));
    }
  }
  ait::parallel_for(arguments.launch, rows * kWidth, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) product[i] = x[i] * w[i % kWidth];
  });
  ait::parallel_for(arguments.launch, rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t i = 0; i < kWidth; ++i) {
        y[row * kWidth + i] =
            product[row * kWidth + i] + folded[i] + (s[2 * row] + s[2 * row + 1]);
      }
    }
  });
  return ait::ok();
}

#ifdef TINY_FAKE_GPU
// The arrays of addresses are the caller's, and gone when a graph is launched.
ait::Status compute_now(const ait::RunArguments& arguments) {
  auto work = [arguments, inputs = std::vector<void*>(arguments.inputs, arguments.inputs + 2),
               outputs = std::vector<void*>(arguments.outputs, arguments.outputs + 1),
               weights = std::vector<void*>(arguments.weights, arguments.weights + 4),
               symbol = arguments.symbols[0]]() -> ait::Status {
    ait::RunArguments own = arguments;
    own.inputs = inputs.data();
    own.outputs = outputs.data();
    own.weights = weights.data();
    own.symbols = &symbol;
    ait::device::pass_time(5);
    return compute(own);
  };
  return ait::device::do_or_record(arguments.launch.stream, work);
}
#else
ait::Status compute_now(const ait::RunArguments& arguments) { return compute(arguments); }
#endif

// All of it is one step.
ait::Status run(const ait::RunArguments& arguments) {
  ait::StepObserver* const observer = arguments.observer;
  if (observer != nullptr) AIT_TRY(observer->begin(0, arguments.launch.stream));
  AIT_TRY(compute_now(arguments));
  return observer == nullptr ? ait::ok() : observer->end(0, arguments.launch.stream);
}

constexpr const char* kSteps[] = {"everything"};

[[maybe_unused]] ait::Status prepare(const ait::RunArguments& arguments) {
  const float* b = floats(arguments.weights, 1);
  const float scale = *floats(arguments.weights, 2);
  auto* folded = static_cast<float*>(arguments.outputs[0]);
  // Lets a test see a failing prepare.
  if (std::isnan(scale)) return ait::error(AIT_RUNTIME_ERROR, "scale is not a number");
  for (int64_t i = 0; i < kWidth; ++i) folded[i] = b[i] * scale;
  return ait::ok();
}

constexpr ait::ModelDescription describe() {
  ait::ModelDescription model{};
  model.name = "tiny";
  model.target = "cpu";
  model.inputs = kInputs;
  model.input_count = 2;
  model.outputs = kOutputs;
  model.output_count = 1;
  model.symbols = kSymbols;
  model.symbol_count = 1;
  model.binds = kBinds;
  model.weights = kWeights;
  model.weight_count = 4;
#ifndef TINY_EXTERNAL
  model.blob = ait_weights_blob;
#endif
  model.fingerprint = "tiny-1";
  model.weight_alignment = 16;
  model.input_dim = input_dim;
  model.output_dim = output_dim;
  model.workspace_bytes = workspace_bytes;
  model.run = run;
  model.step_names = kSteps;
  model.step_count = 1;
#ifndef TINY_FROZEN
  model.prepare = prepare;
#endif
  model.prepare_workspace_bytes = 64;
  model.metadata = kMetadata;
  return model;
}

}  // namespace

const ait::ModelDescription ait_model_description = describe();
