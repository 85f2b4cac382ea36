/* Uses a compiled model (tiny_model.cpp) as a C program would, rightly and wrongly.
 *
 *   driver [good.safetensors bad.safetensors]
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ait.h"

enum { WIDTH = 4, MAX_BATCH = 64 };

static int failures = 0;

static void fail(int line, const char* what, const char* got) {
  fprintf(stderr, "driver.c:%d: %s; got: %s\n", line, what, got);
  ++failures;
}

#define CHECK(condition) \
  do {                   \
    if (!(condition)) fail(__LINE__, #condition, "false"); \
  } while (0)

#define OK(call)                                                       \
  do {                                                                 \
    if ((call) != AIT_OK) fail(__LINE__, #call, ait_last_error());     \
  } while (0)

/* The call must fail with this status and a message that contains `part`. */
#define FAILS(call, status, part)                                              \
  do {                                                                         \
    const ait_status status_ = (call);                                         \
    if (status_ != (status)) fail(__LINE__, #call, ait_status_name(status_));  \
    if (strstr(ait_last_error(), (part)) == NULL)                              \
      fail(__LINE__, "message with " #part, ait_last_error());                 \
  } while (0)

/* All that a run of the tiny model takes. */
typedef struct call {
  int64_t x_shape[2], s_shape[1], y_shape[2];
  float x[MAX_BATCH * WIDTH], s[MAX_BATCH * 2], y[MAX_BATCH * WIDTH];
  ait_tensor inputs[2];
  ait_tensor outputs[1];
} call;

static ait_tensor tensor_of(void* data, int64_t* shape, int32_t rank) {
  ait_tensor tensor = {0};
  tensor.struct_size = sizeof tensor;
  tensor.dtype = AIT_F32;
  tensor.rank = rank;
  tensor.shape = shape;
  tensor.data = data;
  return tensor;
}

static void set_up(call* c, int64_t batch) {
  memset(c, 0, sizeof *c);
  for (int i = 0; i < MAX_BATCH * WIDTH; ++i) c->x[i] = (float)i;
  for (int i = 0; i < MAX_BATCH * 2; ++i) c->s[i] = (float)(i % 7);
  for (int i = 0; i < MAX_BATCH * WIDTH; ++i) c->y[i] = -1;
  c->x_shape[0] = c->y_shape[0] = batch;
  c->x_shape[1] = c->y_shape[1] = WIDTH;
  c->s_shape[0] = batch * 2;
  c->inputs[0] = tensor_of(c->x, c->x_shape, 2);
  c->inputs[1] = tensor_of(c->s, c->s_shape, 1);
  c->outputs[0] = tensor_of(c->y, c->y_shape, 2);
}

static ait_status run(ait_context* context, call* c) {
  return ait_context_run(context, c->inputs, 2, c->outputs, 1);
}

static int result_is(const call* c, const float* w, float folded_unit) {
  for (int64_t row = 0; row < c->x_shape[0]; ++row) {
    for (int i = 0; i < WIDTH; ++i) {
      const float expected = c->x[row * WIDTH + i] * w[i] + folded_unit * (float)(i + 1) +
                             (c->s[2 * row] + c->s[2 * row + 1]);
      if (fabsf(c->y[row * WIDTH + i] - expected) > 1e-3f) return 0;
    }
  }
  return 1;
}

static const float embedded_w[WIDTH] = {1, 2, 3, 4};
static const float embedded_fold = 5; /* b = 10 * (i + 1), scale = 0.5 */

static int is_untouched(const call* c) {
  for (int i = 0; i < MAX_BATCH * WIDTH; ++i) {
    if (c->y[i] != -1) return 0;
  }
  return 1;
}

/* After whatever a test did, the context must still give the right answer. */
static void check_usable(int line, ait_context* context) {
  static call c;
  set_up(&c, 3);
  if (run(context, &c) != AIT_OK) fail(line, "usable afterwards", ait_last_error());
  if (!result_is(&c, embedded_w, embedded_fold)) fail(line, "right afterwards", "wrong values");
}

static void test_descriptions(void) {
  ait_port_info port = {sizeof port, NULL, 0, 0, 0};
  ait_dim_info dim = {sizeof dim, NULL, 0, 0};
  ait_symbol_info symbol = {sizeof symbol, NULL, 0, 0};
  ait_weight_info weight = {sizeof weight, NULL, 0, 0, NULL, 0, 0, 0, NULL};
  CHECK(ait_abi_version() == AIT_ABI_VERSION);
  CHECK(strstr(ait_model_metadata(), "\"tiny\"") != NULL);
  CHECK(ait_input_count() == 2 && ait_output_count() == 1);
  CHECK(ait_symbol_count() == 1 && ait_weight_count() == 4);
  OK(ait_input_info(1, &port));
  CHECK(strcmp(port.name, "s") == 0 && port.dtype == AIT_F32 && port.rank == 1);
  CHECK(port.alignment == 4);
  OK(ait_output_info(0, &port));
  OK(ait_input_dim(1, 0, &dim));
  CHECK(strcmp(dim.text, "batch * 2") == 0 && dim.lower == 2 && dim.upper == 128);
  OK(ait_output_dim(0, 1, &dim));
  OK(ait_symbol_info_at(0, &symbol));
  CHECK(strcmp(symbol.name, "batch") == 0 && symbol.lower == 1 && symbol.upper == 64);
  OK(ait_weight_info_at(3, &weight));
  CHECK(weight.role == AIT_WEIGHT_DERIVED && weight.bytes == 16 && weight.shape[0] == 4);
  CHECK(strcmp(weight.sha256, "abc") == 0 && weight.embedded == 1);

  FAILS(ait_input_info(2, &port), AIT_INVALID_ARGUMENT, "no input 2");
  FAILS(ait_input_info(0, NULL), AIT_INVALID_ARGUMENT, "info is null");
  FAILS(ait_output_dim(0, 2, &dim), AIT_INVALID_ARGUMENT, "no dim 2");
  FAILS(ait_symbol_info_at(1, &symbol), AIT_INVALID_ARGUMENT, "no symbol 1");
  FAILS(ait_weight_info_at(9, &weight), AIT_INVALID_ARGUMENT, "no weight 9");
  port.struct_size = 8;
  FAILS(ait_input_info(0, &port), AIT_INVALID_ARGUMENT, "sizeof(ait_port_info)");
  CHECK(strcmp(ait_status_name(AIT_IO_ERROR), "AIT_IO_ERROR") == 0);
  CHECK(strcmp(ait_status_name((ait_status)1000), "unknown status") == 0);
}

static void test_runs(ait_context* context) {
  static call c;
  for (int64_t batch = 1; batch <= MAX_BATCH; ++batch) {
    set_up(&c, batch);
    OK(run(context, &c));
    CHECK(result_is(&c, embedded_w, embedded_fold));
  }
}

/* Each misuse changes a good call; nothing may be written. */
#define MISUSE(change, status, part)        \
  do {                                      \
    set_up(&c, 3);                          \
    change;                                 \
    FAILS(run(context, &c), status, part);  \
    CHECK(is_untouched(&c));                \
    check_usable(__LINE__, context);        \
  } while (0)

static void test_wrong_inputs(ait_context* context) {
  static call c;
  int64_t strides[2] = {1, 3};
  MISUSE(c.inputs[0].dtype = AIT_I64, AIT_INVALID_INPUT, "input 'x' has dtype i64, expected f32");
  MISUSE(c.inputs[0].dtype = 99, AIT_INVALID_INPUT, "dtype 99");
  MISUSE(c.inputs[0].rank = 1, AIT_INVALID_INPUT, "has rank 1, expected 2: [batch, 4]");
  MISUSE(c.inputs[0].rank = -1, AIT_INVALID_ARGUMENT, "rank -1");
  MISUSE(c.inputs[0].shape = NULL, AIT_INVALID_ARGUMENT, "no shape");
  MISUSE(c.x_shape[1] = 5, AIT_INVALID_INPUT, "input 'x' dim 1 is 5, expected 4");
  MISUSE(c.x_shape[0] = 65, AIT_INVALID_INPUT,
         "input 'x' dim 0 (batch) is 65, outside its range 1..64");
  MISUSE(c.x_shape[0] = 0, AIT_INVALID_INPUT, "is 0, outside its range 1..64");
  MISUSE(c.x_shape[0] = -5, AIT_INVALID_INPUT, "is -5");
  MISUSE(c.x_shape[0] = INT64_MAX, AIT_INVALID_INPUT, "is 9223372036854775807");
  MISUSE(c.s_shape[0] = 8, AIT_INVALID_INPUT,
         "input 's' dim 0 (batch * 2) is 8, expected 6 with batch = 3 (from input 'x')");
  MISUSE(c.inputs[0].strides = strides, AIT_INVALID_INPUT, "not contiguous");
  MISUSE(c.inputs[0].data = NULL, AIT_INVALID_INPUT, "input 'x' has no data");
  MISUSE(c.inputs[0].data = (char*)c.x + 1, AIT_INVALID_INPUT, "not a multiple of 4");
  MISUSE(c.inputs[0].device = AIT_CUDA, AIT_INVALID_INPUT, "is on cuda");
  MISUSE(c.inputs[0].struct_size = 3, AIT_INVALID_ARGUMENT, "struct_size");
  MISUSE(c.inputs[1].struct_size = 3, AIT_INVALID_ARGUMENT, "struct_size");
  MISUSE(c.inputs[0].struct_size = c.inputs[1].struct_size = 0, AIT_INVALID_ARGUMENT, "sizeof");
  MISUSE(c.inputs[0].struct_size = c.inputs[1].struct_size = sizeof(ait_tensor) + 1,
         AIT_INVALID_ARGUMENT, "sizeof");
  MISUSE(c.inputs[0].struct_size = c.inputs[1].struct_size = 0xcdcdcdcdcdcdcdc8u,
         AIT_INVALID_ARGUMENT, "sizeof");
  MISUSE((c.x_shape[1] = 5, c.inputs[1].dtype = AIT_I1), AIT_INVALID_INPUT,
         "2 problems:\n- input 'x' dim 1 is 5, expected 4\n- input 's' has dtype i1");
  MISUSE(c.s[1] = NAN, AIT_RUNTIME_ERROR, "s[1] is not a number");

  set_up(&c, 3);
  FAILS(ait_context_run(context, c.inputs, 1, c.outputs, 1), AIT_INVALID_INPUT, "1 inputs given");
  FAILS(ait_context_run(context, NULL, 2, c.outputs, 1), AIT_INVALID_ARGUMENT, "is null");
  FAILS(ait_context_run(NULL, c.inputs, 2, c.outputs, 1), AIT_INVALID_ARGUMENT, "context is null");
  check_usable(__LINE__, context);
}

static void test_wrong_outputs(ait_context* context) {
  static call c;
  MISUSE(c.outputs[0].dtype = AIT_F16, AIT_INVALID_INPUT, "output 'y' has dtype f16");
  MISUSE(c.y_shape[0] = 4, AIT_INVALID_INPUT, "output 'y' dim 0 (batch) is 4, expected 3");
  MISUSE(c.outputs[0].rank = 0, AIT_INVALID_INPUT, "output 'y' has rank 0");
  MISUSE(c.outputs[0].data = NULL, AIT_INVALID_INPUT, "output 'y' has no data");
  MISUSE(c.outputs[0].data = c.x + 4, AIT_INVALID_INPUT, "overlap");
  set_up(&c, 3);
  FAILS(ait_context_run(context, c.inputs, 2, NULL, 0), AIT_INVALID_INPUT, "0 outputs given");
  check_usable(__LINE__, context);
}

static void test_newer_callers(ait_context* context) {
  /* A header of tomorrow with one more field. */
  struct {
    ait_tensor tensor;
    int64_t more;
  } inputs[2], output[1];
  static call c;
  set_up(&c, 2);
  memset(inputs, 0, sizeof inputs);
  memset(output, 0, sizeof output);
  inputs[0].tensor = c.inputs[0];
  inputs[1].tensor = c.inputs[1];
  output[0].tensor = c.outputs[0];
  inputs[0].tensor.struct_size = inputs[1].tensor.struct_size = sizeof inputs[0];
  output[0].tensor.struct_size = sizeof output[0];
  OK(ait_context_run(context, &inputs[0].tensor, 2, &output[0].tensor, 1));
  CHECK(result_is(&c, embedded_w, embedded_fold));
  inputs[1].more = 1;
  FAILS(ait_context_run(context, &inputs[0].tensor, 2, &output[0].tensor, 1), AIT_INVALID_ARGUMENT,
        "does not know");
}

static void test_shapes(ait_context* context) {
  static call c;
  ait_shape shape = {sizeof shape, 0, 0, {0}};
  size_t bytes = 0;
  set_up(&c, 5);
  c.inputs[0].data = c.inputs[1].data = NULL; /* shapes alone suffice */
  OK(ait_context_output_shapes(context, c.inputs, 2, &shape, 1));
  CHECK(shape.rank == 2 && shape.dims[0] == 5 && shape.dims[1] == 4);
  OK(ait_context_workspace_size(context, c.inputs, 2, &bytes));
  CHECK(bytes == 80);
  FAILS(ait_context_output_shapes(context, c.inputs, 2, &shape, 2), AIT_INVALID_INPUT,
        "room for 2");
  shape.struct_size = 1;
  FAILS(ait_context_output_shapes(context, c.inputs, 2, &shape, 1), AIT_INVALID_ARGUMENT, "sizeof");
  c.x_shape[0] = 100;
  FAILS(ait_context_workspace_size(context, c.inputs, 2, &bytes), AIT_INVALID_INPUT, "range");
  check_usable(__LINE__, context);
}

static void test_workspace(ait_model* model) {
  static call c;
  void* memory = NULL;
  ait_context* context = NULL;
  ait_context_options options = {0};
  options.struct_size = sizeof options;
  OK(ait_device_allocate(0, 160, &memory));
  options.workspace = memory;
  options.workspace_bytes = 160;
  OK(ait_context_create(model, &options, &context));
  set_up(&c, 10);
  OK(run(context, &c));
  CHECK(result_is(&c, embedded_w, embedded_fold));
  MISUSE((c.x_shape[0] = c.y_shape[0] = 11, c.s_shape[0] = 22), AIT_WORKSPACE_TOO_SMALL,
         "has 160 bytes, but inputs of these shapes need 176");
  MISUSE(c.outputs[0].data = memory, AIT_INVALID_INPUT, "overlap");
  FAILS(ait_context_set_workspace(context, (char*)memory + 8, 8), AIT_INVALID_ARGUMENT,
        "multiple of 64");
  FAILS(ait_context_set_workspace(context, NULL, 8), AIT_INVALID_ARGUMENT, "null");
  OK(ait_context_set_workspace(context, NULL, 0));
  ait_device_free(memory);
  check_usable(__LINE__, context);
  ait_context_destroy(context);

  options.num_threads = -1;
  FAILS(ait_context_create(model, &options, &context), AIT_INVALID_ARGUMENT, "num_threads is -1");
  FAILS(ait_context_create(NULL, NULL, &context), AIT_INVALID_ARGUMENT, "model is null");
  FAILS(ait_context_create(model, NULL, NULL), AIT_INVALID_ARGUMENT, "context is null");
}

static void set_w(ait_model* model, float factor) {
  float w[WIDTH];
  int64_t shape[1] = {WIDTH};
  ait_tensor tensor = tensor_of(w, shape, 1);
  for (int i = 0; i < WIDTH; ++i) w[i] = embedded_w[i] * factor;
  OK(ait_model_set_weight(model, "w", &tensor));
}

static void test_weights(ait_model* model, ait_context* context) {
  static call c;
  float scale = 2, nan_scale = NAN, values[WIDTH] = {0};
  int64_t shape[1] = {WIDTH}, short_shape[1] = {3}, strides[1] = {2};
  ait_tensor w = tensor_of(values, shape, 1);
  ait_tensor scalar = tensor_of(&scale, NULL, 0);
  const char* names[3] = {"w", "nope", "folded"};
  ait_tensor several[3];

  FAILS(ait_model_set_weight(model, "nope", &w), AIT_INVALID_WEIGHT, "no weight 'nope'");
  FAILS(ait_model_set_weight(model, "folded", &w), AIT_INVALID_WEIGHT, "computed from other");
  FAILS(ait_model_set_weight(model, NULL, &w), AIT_INVALID_ARGUMENT, "null");
  FAILS(ait_model_set_weight(model, "w", NULL), AIT_INVALID_ARGUMENT, "null");
  FAILS(ait_model_set_weight(NULL, "w", &w), AIT_INVALID_ARGUMENT, "model is null");
  w.shape = short_shape;
  FAILS(ait_model_set_weight(model, "w", &w), AIT_INVALID_WEIGHT, "is f32[3], expected f32[4]");
  w.shape = shape;
  w.dtype = AIT_BF16;
  FAILS(ait_model_set_weight(model, "w", &w), AIT_INVALID_WEIGHT, "is bf16[4], expected f32[4]");
  w.dtype = AIT_F32;
  w.strides = strides;
  FAILS(ait_model_set_weight(model, "w", &w), AIT_INVALID_WEIGHT, "not contiguous");
  w.strides = NULL;
  w.data = NULL;
  FAILS(ait_model_set_weight(model, "w", &w), AIT_INVALID_WEIGHT, "no data");
  w.data = values;
  several[0] = several[1] = several[2] = w;
  FAILS(ait_model_set_weights(model, names, several, 3), AIT_INVALID_WEIGHT, "2 problems:");
  scalar.data = &nan_scale;
  FAILS(ait_model_set_weight(model, "scale", &scalar), AIT_RUNTIME_ERROR, "scale is not a number");
  check_usable(__LINE__, context); /* all old weights stay */

  scalar.data = &scale;
  OK(ait_model_set_weight(model, "scale", &scalar));
  set_w(model, 3);
  set_up(&c, 7);
  OK(run(context, &c));
  {
    const float tripled[WIDTH] = {3, 6, 9, 12};
    CHECK(result_is(&c, tripled, 20)); /* folded anew */
  }
  scale = 0.5f;
  OK(ait_model_set_weight(model, "scale", &scalar));
  set_w(model, 1);
  check_usable(__LINE__, context);
}

static void test_weights_files(ait_model* model, ait_context* context, const char* good,
                               const char* bad) {
  ait_model* other = NULL;
  ait_model_options options = {0};
  options.struct_size = sizeof options;
  options.weights_path = bad;
  FAILS(ait_model_set_weights_file(model, bad), AIT_INVALID_WEIGHT, "weights file '");
  FAILS(ait_model_set_weights_file(model, "/nowhere"), AIT_IO_ERROR, "No such file");
  FAILS(ait_model_set_weights_file(model, "/"), AIT_IO_ERROR, "not a regular file");
  FAILS(ait_model_set_weights_file(model, NULL), AIT_INVALID_ARGUMENT, "path is null");
  FAILS(ait_model_create(&options, &other), AIT_INVALID_WEIGHT, "weights file '");
  check_usable(__LINE__, context);
  OK(ait_model_set_weights_file(model, good)); /* holds the embedded values */
  check_usable(__LINE__, context);
  options.weights_path = good;
  OK(ait_model_create(&options, &other));
  ait_model_destroy(other);
}

static void test_model_options(void) {
  ait_model* model = NULL;
  ait_model_options options = {0};
  FAILS(ait_model_create(&options, &model), AIT_INVALID_ARGUMENT, "sizeof(ait_model_options)");
  options.struct_size = sizeof options;
  FAILS(ait_model_create(&options, NULL), AIT_INVALID_ARGUMENT, "model is null");
  options.flags = 1024;
  FAILS(ait_model_create(&options, &model), AIT_INVALID_ARGUMENT, "unknown flags 0x400");
  options.flags = 0;
  options.device_index = 5;
  FAILS(ait_model_create(&options, &model), AIT_INVALID_ARGUMENT, "device");
  CHECK(model == NULL);
  ait_model_destroy(NULL);
  ait_context_destroy(NULL);
}

static void test_device_memory(void) {
  void* memory = NULL;
  int before = 42, after = 0;
  CHECK(ait_device_kind() == AIT_CPU);
  OK(ait_device_allocate(1, sizeof before, &memory));
  OK(ait_device_copy_from_host(memory, &before, sizeof before));
  OK(ait_device_copy_to_host(&after, memory, sizeof after));
  OK(ait_device_synchronize(0));
  CHECK(after == 42);
  ait_device_free(memory);
  ait_device_free(NULL);
  FAILS(ait_device_allocate(0, SIZE_MAX / 2, &memory), AIT_OUT_OF_MEMORY, "cannot allocate");
  FAILS(ait_device_allocate(0, 1, NULL), AIT_INVALID_ARGUMENT, "memory is null");
  FAILS(ait_device_allocate(2, 1, &memory), AIT_INVALID_ARGUMENT, "no device 1");
}

/* ---- contexts in threads, and weights that change under them -------------------------------- */

typedef struct worker {
  ait_model* model;
  int32_t num_threads;
  int runs;
  int wrong;
} worker;

/* w and scale are always replaced together, by the same factor: a result must have one factor. */
static int is_consistent(const call* c) {
  for (int factor = 1; factor <= 2; ++factor) {
    float w[WIDTH];
    for (int i = 0; i < WIDTH; ++i) w[i] = embedded_w[i] * (float)factor;
    if (result_is(c, w, embedded_fold * (float)factor)) return 1;
  }
  return 0;
}

static void* run_many(void* argument) {
  worker* me = argument;
  call* c = malloc(sizeof *c);
  ait_context* context = NULL;
  ait_context_options options = {0};
  options.struct_size = sizeof options;
  options.num_threads = me->num_threads;
  if (ait_context_create(me->model, &options, &context) != AIT_OK) ++me->wrong;
  for (int i = 0; i < me->runs; ++i) {
    set_up(c, 1 + i % MAX_BATCH);
    if (run(context, c) != AIT_OK || !is_consistent(c)) ++me->wrong;
    c->x_shape[1] = 9;
    if (run(context, c) != AIT_INVALID_INPUT) ++me->wrong;
    if (strstr(ait_last_error(), "is 9, expected 4") == NULL) ++me->wrong;
  }
  ait_context_destroy(context);
  free(c);
  return NULL;
}

static void test_threads(ait_model* model) {
  static const char* const names[2] = {"w", "scale"};
  worker workers[3] = {{model, 1, 300, 0}, {model, 2, 300, 0}, {model, 3, 300, 0}};
  pthread_t threads[3];
  for (int i = 0; i < 3; ++i) pthread_create(&threads[i], NULL, run_many, &workers[i]);
  for (int i = 0; i < 300; ++i) {
    const float factor = (float)(1 + i % 2);
    float w[WIDTH], scale = 0.5f * factor;
    int64_t shape[1] = {WIDTH};
    ait_tensor tensors[2];
    for (int j = 0; j < WIDTH; ++j) w[j] = embedded_w[j] * factor;
    tensors[0] = tensor_of(w, shape, 1);
    tensors[1] = tensor_of(&scale, NULL, 0);
    OK(ait_model_set_weights(model, names, tensors, 2));
  }
  for (int i = 0; i < 3; ++i) {
    pthread_join(threads[i], NULL);
    CHECK(workers[i].wrong == 0);
  }
}

int main(int count, char** arguments) {
  ait_model* model = NULL;
  ait_context* context = NULL;
  CHECK(strcmp(ait_last_error(), "") == 0);
  test_descriptions();
  test_model_options();
  test_device_memory();
  OK(ait_model_create(NULL, &model));
  OK(ait_context_create(model, NULL, &context));
  test_runs(context);
  test_wrong_inputs(context);
  test_wrong_outputs(context);
  test_newer_callers(context);
  test_shapes(context);
  test_workspace(model);
  test_weights(model, context);
  if (count == 3) test_weights_files(model, context, arguments[1], arguments[2]);
  test_threads(model);
  ait_model_destroy(model); /* the context keeps what it needs */
  {
    static call c;
    set_up(&c, 2);
    OK(run(context, &c));
    OK(ait_context_synchronize(context));
  }
  ait_context_destroy(context);
  if (failures == 0) puts("all passed");
  return failures != 0;
}
