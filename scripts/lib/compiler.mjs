import { readFileSync } from 'node:fs';
import { outputOf } from './process.mjs';

/** The compiler that node-gyp will call. */
export const compiler = process.env.CXX || 'g++';

/** The value of -march, which sets the CPU features that the addon may use. `native` is this machine's CPU. */
export const march = process.env.LXMERT_MARCH || 'native';

/** The oldest version of g++ that supports the C++20 features in use. */
export const OLDEST_GXX = 10;

/** A compiler's macro for an instruction set -> the kernel's name for it in /proc/cpuinfo. */
const FEATURES = {
  __SSE3__: 'pni',
  __SSSE3__: 'ssse3',
  __SSE4_1__: 'sse4_1',
  __SSE4_2__: 'sse4_2',
  __SSE4A__: 'sse4a',
  __POPCNT__: 'popcnt',
  __LZCNT__: 'abm',
  __MOVBE__: 'movbe',
  __AVX__: 'avx',
  __AVX2__: 'avx2',
  __FMA__: 'fma',
  __F16C__: 'f16c',
  __BMI__: 'bmi1',
  __BMI2__: 'bmi2',
  __ADX__: 'adx',
  __AVX512F__: 'avx512f',
  __AVX512CD__: 'avx512cd',
  __AVX512BW__: 'avx512bw',
  __AVX512DQ__: 'avx512dq',
  __AVX512VL__: 'avx512vl',
  __AVX512IFMA__: 'avx512ifma',
  __AVX512VBMI__: 'avx512vbmi',
  __AVX512VBMI2__: 'avx512_vbmi2',
  __AVX512VNNI__: 'avx512_vnni',
  __AVX512BITALG__: 'avx512_bitalg',
  __AVX512VPOPCNTDQ__: 'avx512_vpopcntdq',
  __AVX512BF16__: 'avx512_bf16',
  __AVX512FP16__: 'avx512_fp16',
  __AVXVNNI__: 'avx_vnni',
  __GFNI__: 'gfni',
  __VAES__: 'vaes',
  __VPCLMULQDQ__: 'vpclmulqdq',
  __AMX_TILE__: 'amx_tile',
  __AMX_BF16__: 'amx_bf16',
  __AMX_INT8__: 'amx_int8',
  __ARM_FEATURE_ATOMICS: 'atomics',
  __ARM_FEATURE_FP16_VECTOR_ARITHMETIC: 'asimdhp',
  __ARM_FEATURE_DOTPROD: 'asimddp',
  __ARM_FEATURE_BF16: 'bf16',
  __ARM_FEATURE_MATMUL_INT8: 'i8mm',
  __ARM_FEATURE_SVE: 'sve',
  __ARM_FEATURE_SVE2: 'sve2',
};

/** Features of this machine's CPU in the list of the system's kernel; null if there is no list. */
function listedFeatures() {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
    return line === undefined ? null : new Set(line.trim().split(/\s+/));
  } catch {
    return null;
  }
}

/**
 * The version of the compiler, and the CPU features that its code may use; null if there is no compiler.
 * @returns {{ version: string, major: number, cpuFlags: string[] } | null}
 */
export function probeCompiler() {
  const macros = outputOf(compiler, [`-march=${march}`, '-dM', '-E', '-x', 'c++', '-']);
  if (macros === null) return null;
  const defined = new Map(
    macros
      .split('\n')
      .map((line) => /^#define (\w+) (.*)$/.exec(line))
      .filter((match) => match !== null)
      .map(([, name, value]) => [name, value]),
  );
  // The compiler asks the CPU for its features, but some virtual machines list fewer. A feature that is not listed on the
  // building machine cannot be checked when the addon is loaded.
  const listed = march === 'native' ? listedFeatures() : null;
  return {
    version: `${compiler} ${(defined.get('__VERSION__') ?? 'unknown').replaceAll('"', '')}`,
    major: defined.has('__clang__') ? Infinity : Number(defined.get('__GNUC__') ?? 0),
    cpuFlags: Object.entries(FEATURES)
      .filter(([macro]) => defined.has(macro))
      .map(([, flag]) => flag)
      .filter((flag) => !listed || listed.has(flag)),
  };
}

/** Whether a program that includes this header passes the preprocessor. @param {string} header */
export function hasHeader(header) {
  return outputOf(compiler, ['-E', '-x', 'c++', '-'], `#include <${header}>\n`) !== null;
}
