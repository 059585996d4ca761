export default { name: 'future', version: '9.0.0', apiVersion: 2 };
