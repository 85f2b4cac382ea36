// Holds the tensors of a call against the model's declaration: what a run may rely on.
#pragma once

#include <vector>

#include "ait/model.hpp"
#include "tensors.hpp"

namespace ait {

enum class Check { shapes, shapes_and_data };

// Checks all inputs and finds the value of every symbol. Lists all problems: wrong count, dtype,
// rank, device, strides or size, a symbol out of its range, inputs that disagree about one.
Status bind_inputs(const ModelDescription& model, const TensorList& inputs, Check check,
                   std::vector<int64_t>* symbols);

// Checks all outputs against the shapes that follow from the symbols.
Status check_outputs(const ModelDescription& model, const TensorList& outputs,
                     const std::vector<int64_t>& symbols);

// Refuses outputs that overlap an input, another output or the workspace: the plan writes outputs
// while inputs are still read, so the answer would be silently wrong.
Status check_overlap(const ModelDescription& model, const TensorList& inputs,
                     const TensorList& outputs, const void* workspace, std::size_t workspace_bytes);

// Of a data pointer of the port.
std::size_t alignment_of(const ModelDescription& model, const PortDescription& port);

}  // namespace ait
