/*
 * The first thing every npm script runs: finds a Python that will do and hands over to scripts/toolchain.py.
 *
 * Written in the syntax of 2009 on purpose, so that a Node.js which is too old can say so instead of failing to parse this file.
 */
'use strict';

var fs = require('fs');
var path = require('path');
var childProcess = require('child_process');

var ROOT = path.join(__dirname, '..');
var TOOLCHAIN = path.join(__dirname, 'toolchain.py');
var BOOTSTRAP = path.join(ROOT, '.build', 'bootstrap', 'bin', 'python');
var CANDIDATES = ['python3', 'python', 'python3.14', 'python3.13', 'python3.12', 'python3.11'];
/* Prints one word: ok, old or bare (no venv), then its version and path. */
var PROBE =
  'import sys\n' +
  'v = sys.version_info\n' +
  'state = "ok" if v >= (3, 11) else "old"\n' +
  'try:\n' +
  '    import ensurepip, venv\n' +
  'except ImportError:\n' +
  '    state = "bare" if state == "ok" else state\n' +
  'sys.stdout.write("%s %d.%d.%d %s" % (state, v[0], v[1], v[2], sys.executable))\n';

function fail(message) {
  process.stderr.write(message + '\n');
  process.exit(1);
}

/* osls 4 needs ^20.19.0 || ^22.13.0 || >=24 (package.json, engines). */
function checkNode() {
  var parts = process.versions.node.split('.');
  var major = Number(parts[0]);
  var minor = Number(parts[1]);
  var good = (major === 20 && minor >= 19) || (major === 22 && minor >= 13) || major >= 24;
  if (!good) {
    fail('Node.js ' + process.versions.node + ' is not supported: install 20.19 or newer of 20, 22.13 or newer of 22, or 24 and up.');
  }
}

function findPython() {
  var unfit = [];
  var i, probe, words;
  if (fs.existsSync(BOOTSTRAP)) {
    return BOOTSTRAP;
  }
  for (i = 0; i < CANDIDATES.length; i += 1) {
    probe = childProcess.spawnSync(CANDIDATES[i], ['-c', PROBE], { encoding: 'utf8', timeout: 30000 });
    if (!probe.error && probe.status === 0) {
      words = probe.stdout.split(' ');
      if (words[0] === 'ok') {
        return words.slice(2).join(' ');
      }
      unfit.push(
        words[1] + ' (' + words.slice(2).join(' ') + ')' + (words[0] === 'bare' ? ' lacks venv (Debian, Ubuntu: apt install python3-venv)' : ' is too old')
      );
    }
  }
  if (unfit.length === 0) {
    fail('Python 3.11 or newer with venv is needed, and no Python is on the PATH.');
  }
  fail('Python 3.11 or newer with venv is needed: ' + unfit.join('; ') + '.');
}

function run(python, args) {
  var child;
  /* The child decides when it is done: a signal is passed on, and this process ends as the child did. */
  ['SIGINT', 'SIGTERM', 'SIGHUP'].forEach(function (signal) {
    process.on(signal, function () {
      child.kill(signal);
    });
  });
  child = childProcess.spawn(python, [TOOLCHAIN].concat(args), { cwd: ROOT, stdio: 'inherit' });
  child.on('error', function (error) {
    fail('Cannot run ' + python + ': ' + error.message);
  });
  child.on('exit', function (code, signal) {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else {
      process.exit(code);
    }
  });
}

checkNode();
run(findPython(), process.argv.slice(2));
