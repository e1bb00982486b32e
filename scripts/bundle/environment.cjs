'use strict';
// The launcher set LD_LIBRARY_PATH for this process, which has read it by now; programs that it starts get what was set before.
if (process.env.LXMERT_BUNDLE !== undefined) {
  const before = process.env.LXMERT_OUTER_LD_LIBRARY_PATH;
  if (before === undefined) delete process.env.LD_LIBRARY_PATH;
  else process.env.LD_LIBRARY_PATH = before;
  delete process.env.LXMERT_OUTER_LD_LIBRARY_PATH;
  delete process.env.LXMERT_BUNDLE;
}
