import { availableParallelism } from 'node:os';

/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  // Relative imports end in `.js`, because Node needs this ending after compilation.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2023' },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  // Half of the longest tests wait for processes that they started. On two cores, jest would use one worker by default.
  maxWorkers: Math.max(2, availableParallelism() - 1),
  // The limit is for tests that hang. It is so long that slow tests pass, because the machine may run other programs.
  testTimeout: 600_000,
};
