/** Which room may import which: docs/architecture.md as rules. `src/cli` may import everything. */
const arrows = {
  train: ['tasks', 'model', 'engine', 'data', 'config', 'formats', 'text'],
  tasks: ['model', 'engine', 'data', 'config'],
  model: ['engine', 'config'],
  engine: [],
  data: ['text', 'formats', 'config'],
  text: [],
  formats: [],
  scenes: ['formats'],
  config: [],
};

const rooms = Object.keys(arrows);

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...Object.entries(arrows).map(([room, allowed]) => ({
      name: `arrows-of-${room}`,
      comment: `src/${room} may use ${allowed.join(', ') || 'no other room'}`,
      severity: 'error',
      from: { path: `^src/${room}/` },
      to: { path: '^src/', pathNot: [`^src/errors\\.ts$`, ...[room, ...allowed].map((name) => `^src/${name}/`)] },
    })),
    {
      name: 'new-room',
      comment: 'A new folder in src needs its arrows in .dependency-cruiser.cjs and docs/architecture.md.',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: ['cli', ...rooms].map((room) => `^src/${room}/`) },
      to: {},
    },
    {
      name: 'source-is-not-test',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench|examples|scripts)/' },
    },
    {
      name: 'declared-dependencies',
      comment: 'src may import what package.json lists under "dependencies", and nothing else.',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(build|build-cmake|dist|node_modules)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
