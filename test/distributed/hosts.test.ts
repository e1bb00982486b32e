/** Tests two hosts in network namespaces (scripts/check-hosts.sh), if this process has permission to make them. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, test } from '@jest/globals';

const canMakeHosts = spawnSync('unshare', ['--net', '--uts', 'ip', 'link']).status === 0;
if (!canMakeHosts)
  console.warn('left out: two hosts. It needs root, the right to make network namespaces, and `ip` (iproute2)');

(canMakeHosts ? test : test.skip)('a job runs on two hosts, and ends when one of them is cut off', () => {
  const { status, stdout, stderr } = spawnSync(resolve('scripts/check-hosts.sh'), { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/two hosts: the same bits[^]*lxmert: rank 1 [^]*lxmert: rank 0 [^]*one host was cut off/);
});
