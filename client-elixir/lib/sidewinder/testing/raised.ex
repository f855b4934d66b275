defmodule Sidewinder.Testing.Raised do
  @moduledoc "An exception of Python, as a tool of a stand-in raises it. See `Sidewinder.Testing`."
  defexception exception: "Exception", message: "", traceback: nil
end
