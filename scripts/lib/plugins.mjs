/**
 * The list of all libraries that the addon opens at run time if they are built, by their place in the checkout. A bundle has them
 * at the same place in `app`.
 * @type {readonly { name: string, file: string, build: string, notice: string }[]}
 */
export const plugins = [
  {
    name: 'CUDA',
    file: 'build-cuda/lxmert_cuda.so',
    build: 'npm run build:cuda',
    notice:
      "contains NVIDIA's CUDA runtime as a static library, which the CUDA Toolkit's End User License Agreement\n" +
      '(https://docs.nvidia.com/cuda/eula/) lets an application bring along. cuBLASLt and NCCL are not in the bundle.',
  },
];
