defmodule Sidewinder.Options.Kind do
  @moduledoc "The kinds of values that options have: how each is checked, and how it is called."

  alias Sidewinder.Options.Address

  @doc "Whether a value is of this kind; otherwise what is wanted."
  @spec check(term, term) :: :ok | {:error, String.t()}
  def check(:addresses, value) do
    case Address.all(value) do
      {:ok, _} -> :ok
      {:error, what} -> {:error, what}
    end
  end

  def check(:content_type, value) do
    case Sidewinder.Value.named(value) do
      {:ok, _} -> :ok
      {:error, _} -> {:error, wanted(:content_type)}
    end
  end

  def check(kind, value), do: if(fits?(kind, value), do: :ok, else: {:error, wanted(kind)})

  defp fits?(:atom, value), do: is_atom(value)
  defp fits?(:boolean, value), do: is_boolean(value)
  defp fits?(:number, value), do: is_integer(value) and value >= 0
  defp fits?(:count, value), do: is_integer(value) and value > 0
  defp fits?(:milliseconds, value), do: is_integer(value) and value > 0
  defp fits?(:timeout, value), do: value == :infinity or (is_integer(value) and value >= 0)
  defp fits?(:text, value), do: is_binary(value) and value != "" and String.valid?(value)
  defp fits?(:keyword, value), do: Keyword.keyword?(value)
  defp fits?(:modules, value), do: is_list(value) and Enum.all?(value, &module?/1)
  defp fits?({:one_of, allowed}, value), do: value in allowed
  defp fits?({:function, arity}, value), do: is_function(value, arity)

  defp fits?(:texts, value) do
    is_map(value) and not is_struct(value) and
      Enum.all?(value, fn {name, text} -> fits?(:text, name) and is_binary(text) and String.valid?(text) end)
  end

  defp module?(value), do: is_atom(value) and Code.ensure_loaded?(value) and function_exported?(value, :decode, 1)

  @doc "What belongs there, in words."
  @spec wanted(term) :: String.t()
  def wanted(:atom), do: "an atom"
  def wanted(:boolean), do: "true or false"
  def wanted(:number), do: "a whole number, 0 or more"
  def wanted(:count), do: "a whole number, 1 or more"
  def wanted(:milliseconds), do: "milliseconds, 1 or more"
  def wanted(:timeout), do: "milliseconds, or :infinity"
  def wanted(:text), do: "text"
  def wanted(:texts), do: "a map from text to text"
  def wanted(:keyword), do: "a keyword list"
  def wanted(:modules), do: "a list of modules that are a Sidewinder.Value"
  def wanted(:addresses), do: "an address, or a list of them"
  def wanted(:content_type), do: ":msgpack, :json, :bytes, a module, or a media type"
  def wanted({:one_of, allowed}), do: "one of " <> Enum.map_join(allowed, ", ", &inspect/1)
  def wanted({:function, arity}), do: "a function of #{arity} arguments"
end
