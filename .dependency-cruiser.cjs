const { readFileSync } = require('node:fs');
const { join } = require('node:path');

/**
 * The imports that the table of docs/architecture.md allows. Its rows are "| `src/room` | … | uses |", where "uses" is a
 * list of rooms in backticks, "everything" or "nothing".
 */
function readArrows() {
  const rows = readFileSync(join(__dirname, 'docs', 'architecture.md'), 'utf8').matchAll(
    /^\| `src\/(\w+)` \|.*\| (.*) \|$/gm,
  );
  const arrows = {};
  for (const [, room, uses] of rows) {
    const list = /^`([\w ]+)`/.exec(uses);
    if (list) arrows[room] = list[1].split(' ');
    else if (uses.startsWith('nothing')) arrows[room] = [];
    else if (uses !== 'everything')
      throw new Error(`docs/architecture.md: what may src/${room} use? It says "${uses}"`);
  }
  return arrows;
}

const arrows = readArrows();
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
      to: {
        path: '^src/',
        pathNot: [`^src/(errors|figures|numbers|records)\\.ts$`, ...[room, ...allowed].map((name) => `^src/${name}/`)],
      },
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
    exclude: { path: '^(build|build-cmake|build-cuda|build-bundle|dist|node_modules)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
