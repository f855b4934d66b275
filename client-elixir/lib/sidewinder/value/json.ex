defmodule Sidewinder.Value.Json do
  @moduledoc """
  JSON, by whichever module there is: `JSON` (Elixir 1.18), `Jason`, or `:json` (OTP 27), in this order.

  Which one is looked up when a value is first carried, not when the library is compiled: a dependency that is added later
  is found. Without any, `encode/1` and `decode/1` say so; MessagePack needs none.

  What JSON cannot say is refused rather than changed: bytes, a `DateTime` (send text by `DateTime.to_iso8601/1`), floats
  that are no numbers. Keys that are numbers become text, as in every JSON.
  """
  @behaviour Sidewinder.Value

  alias Sidewinder.Value.{Bytes, Misfit}

  @depth_max 128
  @modules [JSON, Jason, :json]
  @key {__MODULE__, :module}

  @impl true
  def content_type, do: "application/json"

  @doc "The module that is used, or `nil` when there is none."
  @spec module() :: module | nil
  def module do
    case :persistent_term.get(@key, nil) do
      nil ->
        found = Enum.find(@modules, &Code.ensure_loaded?/1)
        if found, do: :persistent_term.put(@key, found)
        found

      known ->
        known
    end
  end

  @impl true
  def encode(value), do: with_module(&encode(&1, value))

  defp encode(module, value) do
    {:ok, write(module, plain(value, null(module), 0))}
  catch
    :misfit -> {:error, Misfit.sentence(value, &refuse/1, @depth_max + 1)}
  end

  @impl true
  def decode(data), do: with_module(&read(&1, data))

  defp with_module(fun) do
    case module() do
      nil -> {:error, "no JSON module is there: Elixir 1.18, OTP 27 or Jason has one; MessagePack needs none"}
      module -> fun.(module)
    end
  end

  # What is applied by name may not be there when this is compiled.
  defp write(:json, value), do: apply(:json, :encode, [value])
  defp write(JSON, value), do: apply(JSON, :encode_to_iodata!, [value])
  defp write(module, value), do: apply(module, :encode_to_iodata!, [value])

  defp read(:json, data) do
    case apply(:json, :decode, [data, :ok, %{null: nil}]) do
      {value, :ok, ""} -> {:ok, value}
      {_value, :ok, rest} -> {:error, "not JSON: #{byte_size(rest)} bytes follow the value"}
    end
  rescue
    error in ErlangError -> {:error, "not JSON: #{inspect(error.original)}"}
  end

  defp read(module, data) do
    case apply(module, :decode, [data]) do
      {:ok, value} -> {:ok, value}
      {:error, %{__exception__: true} = error} -> {:error, "not JSON: #{Exception.message(error)}"}
      {:error, what} -> {:error, "not JSON: #{inspect(what)}"}
    end
  end

  defp null(:json), do: :null
  defp null(_module), do: nil

  defp plain(nil, null, _depth), do: null
  defp plain(value, _null, _depth) when is_boolean(value) or is_number(value), do: value
  defp plain(value, _null, _depth) when value in [:nan, :infinity, :neg_infinity], do: throw(:misfit)
  defp plain(value, _null, _depth) when is_atom(value), do: Atom.to_string(value)
  defp plain(value, _null, _depth) when is_binary(value), do: if(String.valid?(value), do: value, else: throw(:misfit))
  defp plain(_value, _null, @depth_max), do: throw(:misfit)

  defp plain(value, null, depth) when is_list(value) do
    if refuse(value), do: throw(:misfit)
    for item <- value, do: plain(item, null, depth + 1)
  end

  defp plain(value, null, depth) when is_map(value) do
    if refuse(value), do: throw(:misfit)
    Map.new(value, fn {key, item} -> {key(key), plain(item, null, depth + 1)} end)
  end

  defp plain(_value, _null, _depth), do: throw(:misfit)

  defp key(nil), do: "null"
  defp key(key) when is_binary(key), do: if(String.valid?(key), do: key, else: throw(:misfit))
  defp key(key), do: to_string(key)

  defp refuse(%Bytes{}), do: "JSON cannot carry bytes: use content_type: :msgpack"
  defp refuse(%DateTime{}), do: "JSON cannot carry a DateTime: send text by DateTime.to_iso8601/1, or use :msgpack"

  defp refuse(value) when value in [:nan, :infinity, :neg_infinity],
    do: "JSON cannot carry a float that is not a number"

  defp refuse(value), do: Misfit.plainly(value)
end
