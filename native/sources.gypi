{
  "variables": {
    "lxmert_sources": [
      "native/binding/addon.cc",
      "native/binding/engine_handle.cc",
      "native/cpu/adam.cc",
      "native/cpu/attention.cc",
      "native/cpu/device.cc",
      "native/cpu/elementwise.cc",
      "native/cpu/fill.cc",
      "native/cpu/gather_rows.cc",
      "native/cpu/layer_norm.cc",
      "native/cpu/linear.cc",
      "native/cpu/object_embedding.cc",
      "native/cpu/smooth_l1.cc",
      "native/cpu/softmax_cross_entropy.cc",
      "native/cpu/token_embedding.cc",
      "native/engine/command_queue.cc",
      "native/engine/engine.cc",
      "native/engine/plugin.cc"
    ],
    "lxmert_headers": [
      "native/binding/engine_handle.h",
      "native/binding/errors.h",
      "native/cpu/device.h",
      "native/cpu/dropout.h",
      "native/cpu/kernels.h",
      "native/cpu/layer_norm.h",
      "native/cpu/math.h",
      "native/cpu/parallel.h",
      "native/cpu/small_gemm.h",
      "native/engine/arenas.h",
      "native/engine/arg_reader.h",
      "native/engine/command_queue.h",
      "native/engine/device.h",
      "native/engine/engine.h",
      "native/engine/error.h",
      "native/engine/op_table.h",
      "native/engine/op_timer.h",
      "native/engine/ops.h",
      "native/engine/ops/adam.h",
      "native/engine/ops/attention.h",
      "native/engine/ops/dropout.h",
      "native/engine/ops/elementwise.h",
      "native/engine/ops/fill.h",
      "native/engine/ops/gather_rows.h",
      "native/engine/ops/layer_norm.h",
      "native/engine/ops/linear.h",
      "native/engine/ops/object_embedding.h",
      "native/engine/ops/smooth_l1.h",
      "native/engine/ops/softmax_cross_entropy.h",
      "native/engine/ops/token_embedding.h",
      "native/engine/philox.h",
      "native/engine/plugin.h",
      "native/engine/step_record.h"
    ],
    "lxmert_cuda_sources": [
      "native/cuda/completions.cu",
      "native/cuda/convert.cu",
      "native/cuda/device.cu",
      "native/cuda/linear.cu",
      "native/cuda/plugin.cu",
      "native/cuda/probe.cu",
      "native/cuda/staging.cu"
    ],
    "lxmert_cuda_toolkit_sources": [
      "native/cuda/cublaslt.cu",
      "native/cuda/gemm_cublaslt.cu"
    ],
    "lxmert_emulator_sources": [],
    "lxmert_cuda_headers": [
      "native/cuda/check.h",
      "native/cuda/completions.h",
      "native/cuda/convert.h",
      "native/cuda/cublaslt.h",
      "native/cuda/device.h",
      "native/cuda/gemm.h",
      "native/cuda/kernels.h",
      "native/cuda/probe.h",
      "native/cuda/scratch.h",
      "native/cuda/staging.h"
    ],
    "lxmert_cxx_flags": [
      "-std=c++20",
      "-O3",
      "-fno-math-errno",
      "-fno-trapping-math",
      "-ffp-contract=fast",
      "-fopenmp",
      "-fvisibility=hidden",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-Wno-psabi"
    ],
    "lxmert_defines": [
      "NAPI_VERSION=9",
      "NAPI_CPP_EXCEPTIONS"
    ],
    "lxmert_libraries": [
      "-ldnnl",
      "-lgomp"
    ]
  }
}
