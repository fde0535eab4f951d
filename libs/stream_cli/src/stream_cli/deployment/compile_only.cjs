'use strict';

// Loaded before the Serverless CLI where only the template is wanted. In place of the plugin that installs what functions
// require, the CLI gets one that declares the same property of functions and installs nothing.
const Module = require('node:module');

const PLUGIN = /[\\/]node_modules[\\/]serverless-python-requirements[\\/]index\.js$/;
const load = Module._load;

class InstallsNothing {
  constructor({ configSchemaHandler }) {
    configSchemaHandler.defineFunctionProperties('aws', { properties: { module: { type: 'string' } } });
  }
}

Module._load = function (request, ...rest) {
  return PLUGIN.test(request) ? InstallsNothing : load.call(this, request, ...rest);
};
