import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

const nodeGlobals = Object.fromEntries(
  ['process', 'console', 'performance', 'URL', 'Buffer', 'setTimeout', 'clearTimeout', 'fetch'].map((name) => [
    name,
    'readonly',
  ]),
);

const browserGlobals = Object.fromEntries(
  ['window', 'document', 'getComputedStyle', 'fetch', 'AbortController', 'URL', 'URLSearchParams', 'Option'].map(
    (name) => [name, 'readonly'],
  ),
);

/** Only the command line may use these. The other rooms report through return values and callbacks. */
const belongsToCli = [
  {
    selector: "MemberExpression[object.name='process'][property.name='argv']",
    message: 'Only src/cli reads process.argv.',
  },
  {
    selector: "MemberExpression[object.name='process'][property.name=/^(stdout|stderr|exit|exitCode)$/]",
    message: 'Only src/cli prints or ends the process.',
  },
];

/** Members that only their class uses are `#private`, at run time, too. Only a constructor is `private`. */
const ownMembers = [
  "PropertyDefinition[accessibility='private']",
  "MethodDefinition[accessibility='private'][kind!='constructor']",
  "TSParameterProperty[accessibility='private']",
].map((selector) => ({ selector, message: 'Write #name instead of private.' }));

export default tseslint.config(
  {
    ignores: [
      'node_modules/',
      'build/',
      'build-cmake/',
      'build-cuda/',
      'build-bundle/',
      'dist/',
      'dist.*/',
      'coverage/',
      'runs/',
      'data/',
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Typed arrays are indexed in many places, within bounds that the types do not contain.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // Without noUncheckedIndexedAccess, the type of an array's element does not include undefined, so this rule would
      // report a check for undefined as unnecessary.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // If an interface requires a promise, a method may be async without an await, so that its errors are rejections.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { varsIgnorePattern: '^_', argsIgnorePattern: '^_' }],
      eqeqeq: 'error',
    },
  },
  {
    // Tests read JSON and pass values that the types forbid. The types of @huggingface/tokenizers do not resolve in
    // ESM.
    files: ['test/**/*.ts', 'src/text/wordPiece.ts'],
    rules: Object.fromEntries(
      [
        'no-unsafe-argument',
        'no-unsafe-assignment',
        'no-unsafe-call',
        'no-unsafe-member-access',
        'no-unsafe-return',
      ].map((rule) => [`@typescript-eslint/${rule}`, 'off']),
    ),
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/cli/**'],
    rules: { 'no-console': 'error', 'no-restricted-syntax': ['error', ...belongsToCli, ...ownMembers] },
  },
  { files: ['src/cli/**/*.ts'], rules: { 'no-restricted-syntax': ['error', ...ownMembers] } },
  { files: ['**/*.{js,mjs,cjs}'], ignores: ['assets/**'], languageOptions: { globals: nodeGlobals } },
  {
    files: ['assets/**/*.js'],
    languageOptions: { globals: browserGlobals },
  },
  {
    files: ['**/*.cjs'],
    languageOptions: {
      sourceType: 'commonjs',
      globals: { module: 'writable', require: 'readonly', __dirname: 'readonly' },
    },
  },
  prettier,
);
