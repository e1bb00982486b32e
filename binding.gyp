{
  # Files, flags and libraries are listed once, in native/sources.gypi, which CMakeLists.txt reads too.
  "includes": ["native/sources.gypi"],
  "targets": [
    {
      "target_name": "lxmert",
      "sources": ["<@(lxmert_sources)"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["<@(lxmert_defines)"],
      # The flags of Node forbid exceptions and run-time types, and set an older version of C++.
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++14", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["<@(lxmert_cxx_flags)", "-march=<!(node -p \"process.env.LXMERT_MARCH || 'native'\")"],
      "ldflags": ["-fopenmp"],
      "libraries": ["<@(lxmert_libraries)"],
    },
  ],
}
