// The interface between a generated model and the runtime: plain tables and function pointers.
//
// The generated model.cpp defines `ait_model_description`. Fill it by name, so that the order of
// fields does not matter and nothing runs at load time:
//
//   constexpr ait::ModelDescription describe() {
//     ait::ModelDescription d{};
//     d.name = "bert"; d.target = "cpu"; ...
//     return d;
//   }
//   const ait::ModelDescription ait_model_description = describe();
#pragma once

#include <cstddef>
#include <cstdint>

#include "ait/dtype.hpp"
#include "ait/launch.hpp"
#include "ait/status.hpp"

// For the definition of the metadata text, which `ait inspect` reads without loading the library.
#define AIT_METADATA_SECTION __attribute__((section(".ait.metadata"), used))

namespace ait {

struct DimDescription {
  const char* text;  // as the user wrote it: "batch", "seq * 12", "128"
  int64_t lower;     // equal to `upper` if static
  int64_t upper;
};

struct PortDescription {
  const char* name;
  DType dtype;
  int32_t rank;
  const DimDescription* dims;  // `rank` of them; null for rank 0
};

struct SymbolDescription {
  const char* name;
  int64_t lower;
  int64_t upper;
};

// Where a symbol's value is read: size(input, axis) == scale * symbol + offset. Each symbol has
// exactly one; every other dim is checked against input_dim().
struct BindDescription {
  int32_t symbol;
  int32_t input;
  int32_t axis;
  int64_t scale = 1;
  int64_t offset = 0;
};

enum class WeightRole : int32_t {
  raw = AIT_WEIGHT_RAW,
  derived = AIT_WEIGHT_DERIVED,
  frozen = AIT_WEIGHT_FROZEN,
};

struct WeightDescription {
  const char* name;
  DType dtype;
  int32_t rank;
  const int64_t* shape;  // null for rank 0
  int64_t bytes;
  int64_t offset;        // of its value in the embedded blob; -1: not there
  WeightRole role;
  const char* sha256;    // may be null
};

// Hears of the steps of a run, each the call of one kernel: around what puts it on the stream (on the
// CPU: around what does it).
class StepObserver {
 public:
  virtual Status begin(int32_t step, void* stream) = 0;
  virtual Status end(int32_t step, void* stream) = 0;

 protected:
  ~StepObserver() = default;
};

// What generated code is called with. Pointers are device pointers on a GPU.
struct RunArguments {
  Launch launch;
  void* const* inputs;     // run: one an input; prepare: none
  void* const* outputs;    // run: one an output; prepare: one a *derived* weight, in table order
  void* const* weights;    // one a weight of the table; frozen ones are null, and so may be derived
                           // ones inside prepare
  void* workspace;         // at least workspace_bytes(symbols) / prepare_workspace_bytes
  const int64_t* symbols;  // one a symbol of the table, all within their bounds; prepare: none
  StepObserver* observer;  // run: null if nobody wants to know
};

struct ModelDescription {
  int32_t abi = AIT_ABI_VERSION;
  const char* name = "";
  const char* target = "";

  const PortDescription* inputs = nullptr;
  int32_t input_count = 0;
  const PortDescription* outputs = nullptr;
  int32_t output_count = 0;
  const SymbolDescription* symbols = nullptr;
  int32_t symbol_count = 0;
  const BindDescription* binds = nullptr;  // one a symbol
  const WeightDescription* weights = nullptr;
  int32_t weight_count = 0;

  // The embedded weights, aligned to at least `weight_alignment`; null: none are embedded.
  const unsigned char* blob = nullptr;

  // Identifies the program and the weights it was compiled with. Derived tensors of a weights file
  // are trusted only if the file's metadata says "ait.prepared": <this>; else they are computed.
  const char* fingerprint = nullptr;

  // Alignments in bytes that the kernels rely on. An input or output that lacks it (or that of its
  // element) is refused, a weight of a file that lacks it is copied.
  int32_t port_alignment = 1;
  int32_t weight_alignment = 64;

  // Sizes as functions of the symbols' values.
  int64_t (*input_dim)(int32_t input, int32_t axis, const int64_t* symbols) = nullptr;
  int64_t (*output_dim)(int32_t output, int32_t axis, const int64_t* symbols) = nullptr;
  int64_t (*workspace_bytes)(const int64_t* symbols) = nullptr;  // null: needs none

  Status (*run)(const RunArguments& arguments) = nullptr;
  Status (*prepare)(const RunArguments& arguments) = nullptr;  // null: derived cannot be computed
  int64_t prepare_workspace_bytes = 0;

  // The layers that the steps of `run` come from, for people.
  const char* const* step_names = nullptr;
  int32_t step_count = 0;

  const char* metadata = "{}";  // JSON, zero-terminated
};

}  // namespace ait

extern "C" __attribute__((visibility("hidden"))) const ait::ModelDescription ait_model_description;
