"""Python imports this when it starts: it chooses the start method of an example that knows nothing of it."""

import importlib
import os

package = importlib.import_module(os.environ["EXAMPLE_PACKAGE"])
package.set_start_method(os.environ["EXAMPLE_START_METHOD"])
