#include "graphs.hpp"

namespace ait {
namespace {

// A graph of a hundred kernels takes about a millisecond to make, and some hundred kilobytes.
constexpr std::size_t kMostShapes = 64;
constexpr std::size_t kMostDirect = 4;
// Copies of this much take a few microseconds, which is less than the launches of a few kernels.
constexpr std::size_t kMostStagedBytes = std::size_t{4} << 20;

std::vector<void*> addresses_of(const std::vector<Port>& inputs, const std::vector<Port>& outputs) {
  std::vector<void*> addresses;
  addresses.reserve(inputs.size() + outputs.size());
  for (const Port& port : inputs) addresses.push_back(port.data);
  for (const Port& port : outputs) addresses.push_back(port.data);
  return addresses;
}

std::size_t aligned(std::size_t bytes) {
  const std::size_t step = device::alignment();
  return (bytes + step - 1) / step * step;
}

std::size_t total_bytes(const std::vector<Port>& ports) {
  std::size_t bytes = 0;
  for (const Port& port : ports) bytes += aligned(port.bytes);
  return bytes;
}

// Ports of the same sizes, one after the other in memory.
std::vector<Port> placed(const std::vector<Port>& like, char** memory) {
  std::vector<Port> ports;
  for (const Port& port : like) {
    ports.push_back({*memory, port.bytes});
    *memory += aligned(port.bytes);
  }
  return ports;
}

Status copy_all(const std::vector<Port>& to, const std::vector<Port>& from, void* stream) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    AIT_TRY(device::copy_on_stream(to[i].data, from[i].data, from[i].bytes, stream));
  }
  return ok();
}

}  // namespace

GraphCache::~GraphCache() {
  clear();
  device::destroy_stream(capture_stream_);
}

void GraphCache::clear() noexcept { shapes_.clear(); }

Status GraphCache::run(const ModelDescription& model, const RunArguments& arguments,
                       const std::vector<Port>& inputs, const std::vector<Port>& outputs) {
  void* const stream = arguments.launch.stream;
  const std::vector<int64_t> symbols(arguments.symbols, arguments.symbols + model.symbol_count);
  auto known = shapes_.find(symbols);
  if (known == shapes_.end()) {
    // A model whose shapes change with each run is not slowed down by graphs that it never reuses.
    if (shapes_.size() < kMostShapes) shapes_.emplace(symbols, Shape{});
    return model.run(arguments);
  }
  Shape& shape = known->second;
  const Addresses addresses = addresses_of(inputs, outputs);
  auto direct = shape.direct.find(addresses);
  if (direct == shape.direct.end() && shape.direct.size() < kMostDirect) {
    Graph graph;
    AIT_TRY(capture(model, arguments, &graph));
    direct = shape.direct.emplace(addresses, std::move(graph)).first;
  }
  if (direct != shape.direct.end()) return device::launch_graph(direct->second.get(), stream);
  if (total_bytes(inputs) + total_bytes(outputs) > kMostStagedBytes) return model.run(arguments);
  if (shape.staged == nullptr) {
    AIT_TRY(prepare_staged(model, arguments, inputs, outputs, &shape));
  }
  AIT_TRY(copy_all(shape.inputs, inputs, stream));
  AIT_TRY(device::launch_graph(shape.staged.get(), stream));
  return copy_all(outputs, shape.outputs, stream);
}

// On a stream of our own: the caller's may be one that cannot be captured, such as the default one.
Status GraphCache::capture(const ModelDescription& model, RunArguments arguments, Graph* graph) {
  if (capture_stream_ == nullptr) AIT_TRY(device::create_capture_stream(&capture_stream_));
  arguments.launch.stream = capture_stream_;
  AIT_TRY(device::begin_capture(capture_stream_));
  Status status = model.run(arguments);
  void* captured = nullptr;
  Status ended = device::end_capture(capture_stream_, &captured);
  graph->reset(captured);
  AIT_TRY(std::move(status));
  return ended;
}

Status GraphCache::prepare_staged(const ModelDescription& model, const RunArguments& arguments,
                                  const std::vector<Port>& inputs,
                                  const std::vector<Port>& outputs, Shape* shape) {
  std::shared_ptr<void> memory;
  AIT_TRY(allocate_shared(total_bytes(inputs) + total_bytes(outputs), &memory));
  char* next = static_cast<char*>(memory.get());
  std::vector<Port> own_inputs = placed(inputs, &next);
  std::vector<Port> own_outputs = placed(outputs, &next);
  const Addresses own_in = addresses_of(own_inputs, {});
  const Addresses own_out = addresses_of({}, own_outputs);
  RunArguments staged = arguments;
  staged.inputs = own_in.data();
  staged.outputs = own_out.data();
  AIT_TRY(capture(model, staged, &shape->staged));
  shape->inputs = std::move(own_inputs);
  shape->outputs = std::move(own_outputs);
  shape->memory = std::move(memory);
  return ok();
}

}  // namespace ait
