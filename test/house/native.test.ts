import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface SourceList {
  readonly variables: Readonly<Record<string, readonly string[]>>;
}

/** JSON.parse refuses comments and trailing commas, as CMake's parser does. */
const { variables } = JSON.parse(read('native/sources.gypi')) as SourceList;

const nativeFile = /\.(cc|h|cu|cuh)$/;
const listed = Object.values(variables)
  .flat()
  .filter((item) => item.startsWith('native/'));
const present = readdirSync(join(root, 'native'), { recursive: true, encoding: 'utf8' })
  .map((path) => `native/${path}`)
  .filter((path) => nativeFile.test(path));

/** The names between <> or "" in the #include lines of a file. */
const includesOf = (path: string): string[] =>
  [...read(path).matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map(([, name]) => name);

describe('native/sources.gypi', () => {
  test('lists every native file exactly once', () => {
    expect([...listed].sort()).toEqual([...present].sort());
  });

  test.each([
    ['lxmert_sources', /\.cc$/],
    ['lxmert_headers', /\.h$/],
    ['lxmert_cuda_sources', /\.cu$/],
    ['lxmert_cuda_toolkit_sources', /\.cu$/],
    ['lxmert_emulator_sources', /\.cc$/],
    ['lxmert_instrumented_sources', /\.cc$/],
    ['lxmert_racecheck_sources', /\.cc$/],
    ['lxmert_traffic_sources', /\.cc$/],
    ['lxmert_cuda_headers', /\.(h|cuh)$/],
  ])('%s contains only files of its kind, sorted', (name, kind) => {
    expect(variables[name].length).toBeGreaterThan(0);
    expect(variables[name].filter((path) => !kind.test(path))).toEqual([]);
    expect(variables[name]).toEqual([...variables[name]].sort());
  });

  test('binding.gyp and CMakeLists.txt list no native files and no additional flags', () => {
    for (const build of ['binding.gyp', 'CMakeLists.txt']) {
      expect(read(build)).toContain('native/sources.gypi');
      expect(read(build)).not.toMatch(/native\/\S+\.(cc|h|cu)\b|-ffast-math|-O\d/);
    }
  });

  test('-ffast-math is not used, because losses must distinguish NaN from numbers', () => {
    expect(variables['lxmert_cxx_flags']).not.toContain('-ffast-math');
    expect(variables['lxmert_cxx_flags']).not.toContain('-ffinite-math-only');
  });
});

describe('native headers', () => {
  test('only native/binding uses Node-API', () => {
    const users = present.filter((path) => includesOf(path).some((name) => /napi|node_api|^node\.h$|v8/.test(name)));
    expect(users.length).toBeGreaterThan(0);
    expect(users.filter((path) => !path.startsWith('native/binding/'))).toEqual([]);
  });

  test('native/engine includes nothing of CUDA, the back ends or the binding', () => {
    const engine = present.filter((path) => path.startsWith('native/engine/'));
    const foreign = engine.flatMap((path) =>
      includesOf(path)
        .filter((name) => /^(binding|cpu|cuda|comm)\/|cuda|cublas|nccl|mpi\.h|dnnl|^omp\.h/.test(name))
        .map((name) => `${path} includes ${name}`),
    );
    expect(engine.length).toBeGreaterThan(0);
    expect(foreign).toEqual([]);
  });

  test('every header has an include guard', () => {
    const headers = present.filter((path) => path.endsWith('.h') || path.endsWith('.cuh'));
    expect(headers.filter((path) => !/^#(pragma once|ifndef \w+)/m.test(read(path)))).toEqual([]);
  });

  test('all included files of this project exist', () => {
    const missing = present.flatMap((path) =>
      includesOf(path)
        .filter((name) => nativeFile.test(name) && /^(binding|engine|cpu|cuda|comm)\//.test(name))
        .filter((name) => !present.includes(`native/${name}`))
        .map((name) => `${path} includes ${name}`),
    );
    expect(missing).toEqual([]);
  });
});
