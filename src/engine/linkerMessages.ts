/** The meanings of messages of the dynamic linker. They are tried in order. */
const linkerMessages: readonly {
  readonly pattern: RegExp;
  readonly steps: (match: RegExpExecArray, rebuild: string) => string[];
}[] = [
  {
    pattern: /(libdnnl\S*): cannot open shared object file/,
    steps: ([, library], rebuild) => [
      `It needs oneDNN (${library}), which is not installed, or only in another version.`,
      `${rebuild} installs it or says how to, and builds the addon for it. (Debian, Ubuntu: apt-get install libdnnl-dev)`,
    ],
  },
  {
    pattern: /(libgomp\S*): cannot open shared object file/,
    steps: ([, library]) => [
      `It needs GCC's OpenMP (${library}), which is not installed.`,
      'Install it: apt-get install libgomp1 (Fedora: dnf install libgomp)',
    ],
  },
  {
    pattern: /(\S+): cannot open shared object file/,
    steps: ([, library], rebuild) => [
      `It needs ${library}, which is not installed on this machine.`,
      `Install that library, or build the addon again: ${rebuild}`,
    ],
  },
  {
    pattern: /version `((?:GLIBC|GLIBCXX|CXXABI|GOMP)_\S+?)' not found/,
    steps: ([, version], rebuild) => [
      `It was built on a newer system: it needs ${version}, which the libraries of this one do not have.`,
      `Build it here: ${rebuild}`,
    ],
  },
  {
    pattern: /undefined symbol: (napi_\w+|node_api_\w+)/,
    steps: ([, symbol]) => [
      `It needs a Node that has ${symbol}; this is Node ${process.versions.node} with Node-API ${process.versions.napi}.`,
      'Use Node 20.17 or newer.',
    ],
  },
  {
    pattern: /undefined symbol: (\S+)/,
    steps: ([, symbol], rebuild) => [
      `It is incomplete, or its libraries have changed since it was built: the symbol ${symbol} is missing.`,
      `Build it again: rm -rf build && ${rebuild}`,
    ],
  },
  {
    pattern: /NODE_MODULE_VERSION|did not self-register/,
    steps: (_, rebuild) => [
      `It is not a Node-API addon for this Node (${process.versions.node}).`,
      `Build it again: rm -rf build && ${rebuild}`,
    ],
  },
  {
    pattern:
      /invalid ELF header|wrong ELF class|file too short|not a mach-o|ELF file's phentsize|cannot read file data/i,
    steps: (_, rebuild) => [
      `It is damaged, or not an addon for ${process.platform} on ${process.arch}.`,
      `Build it again: rm -rf build && ${rebuild}`,
    ],
  },
];

/**
 * Says why an addon could not be loaded, and what to do: one step in each line.
 *
 * @param message the message of dlopen's error
 * @param rebuild the command that builds the addon again
 */
export function explainLinker(message: string, rebuild: string): string[] {
  for (const { pattern, steps } of linkerMessages) {
    const match = pattern.exec(message);
    if (match) return steps(match, rebuild);
  }
  return [`The system says: ${message.split('\n')[0]}`, `Build it again: rm -rf build && ${rebuild}`];
}
