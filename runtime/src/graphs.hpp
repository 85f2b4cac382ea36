// Whole runs as graphs of the device: one launch instead of one for each kernel.
//
// A graph holds the addresses that it was captured with. So a shape's first run goes kernel by
// kernel (its callers may never come back), the next ones are captured with the caller's addresses,
// and once a shape has been run with more sets of addresses than are worth a graph each, one more
// graph works on tensors of the context's own, to and from which the caller's are copied, if that
// costs less than the launches that it saves.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "ait/device.hpp"
#include "ait/model.hpp"
#include "device_memory.hpp"

namespace ait {

// The data of an input or output of one run.
struct Port {
  void* data;
  std::size_t bytes;
};

class GraphCache {
 public:
  GraphCache() = default;
  ~GraphCache();
  GraphCache(const GraphCache&) = delete;
  GraphCache& operator=(const GraphCache&) = delete;

  // Forgets all graphs: their workspace or weights are no longer the ones to use. Nothing that was
  // launched may still be running.
  void clear() noexcept;

  // Runs the model with these arguments, whose `inputs` and `outputs` are the ports' data, on
  // their stream.
  Status run(const ModelDescription& model, const RunArguments& arguments,
             const std::vector<Port>& inputs, const std::vector<Port>& outputs);

 private:
  struct Release {
    void operator()(void* graph) const noexcept { device::destroy_graph(graph); }
  };
  using Graph = std::unique_ptr<void, Release>;
  using Addresses = std::vector<void*>;

  // What is known of runs with one set of symbols.
  struct Shape {
    std::map<Addresses, Graph> direct;  // by the caller's addresses
    Graph staged;                       // on tensors of our own:
    std::vector<Port> inputs;
    std::vector<Port> outputs;
    std::shared_ptr<void> memory;
  };

  Status capture(const ModelDescription& model, RunArguments arguments, Graph* graph);
  Status prepare_staged(const ModelDescription& model, const RunArguments& arguments,
                        const std::vector<Port>& inputs, const std::vector<Port>& outputs,
                        Shape* shape);

  std::map<std::vector<int64_t>, Shape> shapes_;
  void* capture_stream_ = nullptr;
};

}  // namespace ait
