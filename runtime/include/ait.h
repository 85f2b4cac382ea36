/* ait.h - the public C interface of a compiled model.
 *
 * Every library that `ait compile` writes exports exactly these functions and needs only the C
 * library (and the GPU driver for a GPU target).  A deployer copies this header and the library.
 *
 *   ait_model* model;  ait_context* context;
 *   if (ait_model_create(NULL, &model) != AIT_OK) puts(ait_last_error());
 *   if (ait_context_create(model, NULL, &context) != AIT_OK) puts(ait_last_error());
 *   ait_context_run(context, inputs, 1, outputs, 1);
 *   ait_context_destroy(context);  ait_model_destroy(model);
 *
 * Rules:
 * - Every struct begins with `struct_size`; set it to sizeof the struct as you compiled it.  Zero
 *   the rest first: zero always means "default".  In an array of structs all sizes must be equal.
 * - A function that can fail returns an `ait_status`; ait_last_error() has the message.  After any
 *   error the model and the context stay usable, and no output was touched if the arguments were
 *   at fault.
 * - Text and arrays returned by the library belong to it and live until it is unloaded.
 * - A model may be used by any number of threads.  A context runs one call at a time: calls from
 *   several threads on one context wait for each other; use one context a thread to run at once.
 */
#ifndef AIT_H
#define AIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a change breaks programs that were compiled against an older header. */
#define AIT_ABI_VERSION 1

/* The highest rank of an input or output. */
#define AIT_MAX_RANK 16

#if defined(__GNUC__)
#define AIT_API __attribute__((visibility("default")))
#else
#define AIT_API
#endif

typedef enum ait_status {
  AIT_OK = 0,
  AIT_INVALID_ARGUMENT = 1,    /* a null handle, a bad struct_size, an index out of range */
  AIT_INVALID_INPUT = 2,       /* an input or output tensor does not fit its declaration */
  AIT_INVALID_WEIGHT = 3,      /* a weight or a weights file does not fit the model */
  AIT_IO_ERROR = 4,            /* a file cannot be read */
  AIT_OUT_OF_MEMORY = 5,       /* host or device memory is exhausted */
  AIT_WORKSPACE_TOO_SMALL = 6, /* the given workspace does not suffice for these shapes */
  AIT_DEVICE_ERROR = 7,        /* the GPU or its driver reports an error */
  AIT_RUNTIME_ERROR = 8,       /* a kernel found bad data, for example an index out of range */
  AIT_INTERNAL_ERROR = 9       /* a defect of ait itself */
} ait_status;

typedef enum ait_dtype {
  AIT_F32 = 0,
  AIT_F16 = 1,
  AIT_BF16 = 2,
  AIT_I64 = 3,
  AIT_I32 = 4,
  AIT_I8 = 5,
  AIT_I1 = 6,      /* one byte, 0 or 1 */
  AIT_F8E4M3FN = 7 /* one byte: sign, 4 bits of exponent, 3 of mantissa; no infinities, +-448 */
} ait_dtype;

typedef enum ait_device { AIT_CPU = 0, AIT_CUDA = 1, AIT_HIP = 2 } ait_device;

typedef enum ait_weight_role {
  AIT_WEIGHT_RAW = 0,     /* given by the user, replaceable */
  AIT_WEIGHT_DERIVED = 1, /* computed from raw weights by the model itself */
  AIT_WEIGHT_FROZEN = 2   /* folded into derived weights at compile time and not kept */
} ait_weight_role;

typedef struct ait_model ait_model;
typedef struct ait_context ait_context;

/* A tensor that belongs to the caller.  The library reads or writes `data` only during the call
 * (GPU: until the context's stream has passed it). */
typedef struct ait_tensor {
  size_t struct_size;
  int32_t dtype;          /* ait_dtype */
  int32_t rank;
  const int64_t* shape;   /* `rank` sizes; may be NULL for rank 0 */
  const int64_t* strides; /* in elements; NULL: contiguous.  Anything but contiguous is refused */
  void* data;             /* NULL only for a tensor without elements, or where only shapes matter */
  int32_t device;         /* ait_device on which `data` lies: must be ait_device_kind() */
  int32_t reserved;
} ait_tensor;

typedef struct ait_shape {
  size_t struct_size;
  int32_t rank;
  int32_t reserved;
  int64_t dims[AIT_MAX_RANK];
} ait_shape;

/* ---- the library ------------------------------------------------------------------------- */

AIT_API uint32_t ait_abi_version(void);

/* The message of the last failed call in this thread; "" if none failed. Valid until the next
 * failing call in the same thread. */
AIT_API const char* ait_last_error(void);

/* For example "AIT_INVALID_INPUT"; "unknown status" for a number that is none. */
AIT_API const char* ait_status_name(ait_status status);

/* Everything known about the model as JSON: the same text as the ELF section `.ait.metadata`. */
AIT_API const char* ait_model_metadata(void);

/* ---- what the model takes and gives (needs no model) --------------------------------------- */

typedef struct ait_port_info {
  size_t struct_size;
  const char* name;
  int32_t dtype;
  int32_t rank;
  size_t alignment; /* that the data pointer must have, in bytes */
} ait_port_info;

/* One dim of an input or output: lower == upper if it is static. */
typedef struct ait_dim_info {
  size_t struct_size;
  const char* text; /* "batch", "seq * 12", "128" */
  int64_t lower;
  int64_t upper;
} ait_dim_info;

typedef struct ait_symbol_info {
  size_t struct_size;
  const char* name;
  int64_t lower;
  int64_t upper;
} ait_symbol_info;

typedef struct ait_weight_info {
  size_t struct_size;
  const char* name;
  int32_t dtype;
  int32_t rank;
  const int64_t* shape;
  int64_t bytes;
  int32_t role;       /* ait_weight_role */
  int32_t embedded;   /* 1 if its value lies in this library */
  const char* sha256; /* of the value at compile time, in hexadecimal; "" if not known */
} ait_weight_info;

AIT_API size_t ait_input_count(void);
AIT_API size_t ait_output_count(void);
AIT_API size_t ait_symbol_count(void);
AIT_API size_t ait_weight_count(void);
AIT_API ait_status ait_input_info(size_t index, ait_port_info* info);
AIT_API ait_status ait_output_info(size_t index, ait_port_info* info);
AIT_API ait_status ait_input_dim(size_t index, size_t axis, ait_dim_info* info);
AIT_API ait_status ait_output_dim(size_t index, size_t axis, ait_dim_info* info);
AIT_API ait_status ait_symbol_info_at(size_t index, ait_symbol_info* info);
AIT_API ait_status ait_weight_info_at(size_t index, ait_weight_info* info);

/* ---- models: one set of weights ------------------------------------------------------------ */

/* A weights file may hold tensors that the model does not know; they are ignored. */
#define AIT_IGNORE_UNEXPECTED_WEIGHTS UINT64_C(1)

typedef struct ait_model_options {
  size_t struct_size;
  const char* weights_path; /* a safetensors file; NULL: the embedded weights */
  uint64_t flags;
  int32_t device_index;     /* GPU: 1 + the device's number; 0: the current device */
  int32_t reserved;
} ait_model_options;

/* `options` may be NULL.  The weights file is memory-mapped: it must not be changed or truncated
 * while the model lives (replace it by renaming another file over it instead). */
AIT_API ait_status ait_model_create(const ait_model_options* options, ait_model** model);

/* Contexts of the model keep working; its memory is freed with the last of them.  NULL is fine. */
AIT_API void ait_model_destroy(ait_model* model);

/* Replaces weights, then computes the derived ones anew, and returns when done.  Runs that are
 * under way finish with the old weights; a run that begins later sees all the new ones.  On any
 * error all old weights stay.  The tensors are copied, and may lie on the host or the device. */
AIT_API ait_status ait_model_set_weight(ait_model* model, const char* name,
                                        const ait_tensor* tensor);
AIT_API ait_status ait_model_set_weights(ait_model* model, const char* const* names,
                                         const ait_tensor* tensors, size_t count);
AIT_API ait_status ait_model_set_weights_file(ait_model* model, const char* path);

/* ---- contexts: one run at a time each, with threads, workspace and a stream of their own --- */

/* GPU: every run launches its kernels one by one.  Otherwise the runs of a shape are captured as a
 * graph and replayed, which is faster; the results are the same. */
#define AIT_CONTEXT_NO_GRAPHS UINT32_C(1)
/* GPU: every run launches its kernels one by one, within ranges (NVTX) that carry the names of the
 * layers, for the vendor's profilers. */
#define AIT_CONTEXT_NAMED_RANGES UINT32_C(2)

typedef struct ait_context_options {
  size_t struct_size;
  int32_t num_threads;    /* CPU: threads of a run, the caller's included; 0: one a core */
  uint32_t flags;
  void* workspace;        /* NULL: allocated on demand by the context */
  size_t workspace_bytes;
  void* stream;           /* GPU: cudaStream_t or hipStream_t; NULL: one of the context's own,
                             ordered after work that was put on the default stream */
} ait_context_options;

AIT_API ait_status ait_context_create(ait_model* model, const ait_context_options* options,
                                      ait_context** context);
AIT_API void ait_context_destroy(ait_context* context);

/* Gives the context another workspace (device memory for a GPU target; 64-byte aligned on the CPU,
 * 256 on a GPU); NULL returns to memory of the context's own. */
AIT_API ait_status ait_context_set_workspace(ait_context* context, void* workspace, size_t bytes);

/* Bytes of workspace that a run with inputs of these shapes needs. `data` may be NULL. */
AIT_API ait_status ait_context_workspace_size(ait_context* context, const ait_tensor* inputs,
                                              size_t input_count, size_t* bytes);

/* Shapes of all outputs for inputs of these shapes. `data` may be NULL. */
AIT_API ait_status ait_context_output_shapes(ait_context* context, const ait_tensor* inputs,
                                             size_t input_count, ait_shape* shapes,
                                             size_t output_count);

/* Runs the model.  Inputs and outputs come in the declared order; outputs may overlap nothing.
 * A run on a stream that the caller is capturing becomes part of the caller's graph: its addresses,
 * and the context's workspace and weights, must then stay until that graph is gone.
 * On a GPU the work is put on the context's stream and the call returns early.  What kernels find
 * wrong with the data then (an index out of range) is the error of the next synchronize, or of the
 * next run if that comes first; the outputs of the run that it belongs to are not valid. */
AIT_API ait_status ait_context_run(ait_context* context, const ait_tensor* inputs,
                                   size_t input_count, const ait_tensor* outputs,
                                   size_t output_count);

/* Runs the model `repetitions` times and writes the median seconds of each step, a step being the
 * call of one kernel: the metadata's "steps" names them in order.  `step_count` is the room in
 * `seconds`, and must be their number.  Steps are timed one after the other: where a run overlaps
 * them, their sum is more than its time. */
AIT_API ait_status ait_context_profile(ait_context* context, const ait_tensor* inputs,
                                       size_t input_count, const ait_tensor* outputs,
                                       size_t output_count, int32_t repetitions, double* seconds,
                                       size_t step_count);

/* Waits for all runs of the context. */
AIT_API ait_status ait_context_synchronize(ait_context* context);

/* ---- device memory, so that a program needs no GPU library; host memory on the CPU --------- */

AIT_API ait_device ait_device_kind(void);
/* `device_index` as in ait_model_options: 1 + the device's number, 0 for the current device. */
AIT_API ait_status ait_device_allocate(int32_t device_index, size_t bytes, void** memory);
AIT_API void ait_device_free(void* memory);
AIT_API ait_status ait_device_copy_from_host(void* device, const void* host, size_t bytes);
AIT_API ait_status ait_device_copy_to_host(void* host, const void* device, size_t bytes);
AIT_API ait_status ait_device_synchronize(int32_t device_index);

#ifdef __cplusplus
}
#endif

#endif /* AIT_H */
