// Several kernels in one launch. Its members come in *kinds*: those of a kind run the same code, each
// with parameters of its own. Work is counted in units, blocks or tiles of whatever kind; member i has
// those from `ends[i - 1]` up to `ends[i]`.
//
// `Part` is how a kind works: it has `Parameters`, what a member is told. Where units are blocks that
// know nothing of each other (run_blocks_of_group), it also has kThreads, count(parameters), how many
// blocks a member has, and run(parameters, block), what one of them does.
#pragma once

#include <cstdint>

#include "ait/gpu.hpp"

namespace ait::gpu {

/// `Count` members of one kind.
template <class PartT, int Count>
struct Members {
  using Part = PartT;
  static constexpr int kCount = Count;
  typename Part::Parameters parameters[Count];
};

/// Members of all kinds, one kind after the other.
template <class... Kinds>
struct MemberList {
  static constexpr int kCount = 0;
};

template <class First, class... Rest>
struct MemberList<First, Rest...> {
  static constexpr int kCount = First::kCount + MemberList<Rest...>::kCount;
  First first;
  MemberList<Rest...> rest;
};

/// Calls function(Part(), parameters, number of the kind) of the member at `index`.
template <int Kind = 0, class Function, class List>
__host__ __device__ __forceinline__ void visit_member(List& list, int index,
                                                      const Function& function) {
  if constexpr (List::kCount > 0) {
    constexpr int kOfFirst = decltype(list.first)::kCount;
    if (index < kOfFirst) {
      function(typename decltype(list.first)::Part(), list.first.parameters[index], Kind);
    } else {
      visit_member<Kind + 1>(list.rest, index - kOfFirst, function);
    }
  }
}

/// What a launch of several kernels is told.
template <class... Kinds>
struct Group {
  using List = MemberList<Kinds...>;
  static constexpr int kKinds = sizeof...(Kinds), kMembers = List::kCount;
  List members;
  int ends[kMembers];

  __host__ __device__ __forceinline__ int units() const { return ends[kMembers - 1]; }

  /// Calls function(Part(), parameters, number of the kind, the member's own number of the unit) for
  /// the member that a unit belongs to.
  template <class Function>
  __device__ __forceinline__ void visit(int unit, const Function& function) const {
    int member = 0;
#pragma unroll
    for (int step = kHalf; step > 0; step /= 2) {
      if (member + step < kMembers && unit >= ends[member + step - 1]) member += step;
    }
    const int own = member > 0 ? unit - ends[member - 1] : unit;
    visit_member(members, member, [&](auto part, const auto& parameters, int kind) {
      function(part, parameters, kind, own);
    });
  }

 private:
  /// The largest power of two up to the number of members.
  static constexpr int half_of(int count) { return count < 2 ? 1 : 2 * half_of(count / 2); }
  static constexpr int kHalf = half_of(kMembers);
};

/// The most bytes of parameters that a launch takes.
constexpr int kMostParameterBytes = 32764;

/// The parameters of the member at `Index` of the kind number `Kind`.
template <int Kind, int Index, class List>
auto& parameters_of(List& list) {
  if constexpr (Kind == 0) {
    return list.first.parameters[Index];
  } else {
    return parameters_of<Kind - 1, Index>(list.rest);
  }
}

/// Counts the units of the members, of which units_of(Part(), parameters, &units) says how many each
/// has.
template <class Group, class UnitsOf>
Status count_units(Group* group, const UnitsOf& units_of) {
  std::int64_t end = 0;
  for (int i = 0; i < Group::kMembers; ++i) {
    Status status = ok();
    visit_member(group->members, i, [&](auto part, auto& parameters, int) {
      std::int64_t units = 0;
      (void)(status = units_of(part, parameters, &units));
      end += units;
    });
    if (!status.is_ok()) return status;
    if (end > INT32_MAX / 16) {
      return Status{AIT_INVALID_INPUT, "kernels of a group have too many tiles for one launch"};
    }
    group->ends[i] = static_cast<int>(end);
  }
  return ok();
}

// Blocks --------------------------------------------------------------------------------------------

template <int Threads, class... Kinds>
__global__ void __launch_bounds__(Threads)
    blocks_of_group(const __grid_constant__ Group<Kinds...> group) {
  wait_for_inputs();
  let_next_start();
  group.visit(static_cast<int>(blockIdx.x), [&](auto part, const auto& member, int, int own) {
    part.run(member, own);
  });
}

/// `group` has the parameters of its members, whose blocks are of one size.
template <class First, class... Rest>
Status run_blocks_of_group(const Launch& launch, Group<First, Rest...>& group) {
  constexpr int kThreads = First::Part::kThreads;
  static_assert(((Rest::Part::kThreads == kThreads) && ...), "blocks of one launch are of one size");
  static_assert(sizeof(group) <= kMostParameterBytes, "too many members for one launch");
  AIT_TRY(count_units(&group, [](auto part, auto& member, std::int64_t* blocks) -> Status {
    *blocks = part.count(member);
    return ok();
  }));
  return gpu::launch(launch, blocks_of_group<kThreads, First, Rest...>,
                     dim3(static_cast<unsigned>(group.units())), dim3(kThreads), group);
}

}  // namespace ait::gpu
