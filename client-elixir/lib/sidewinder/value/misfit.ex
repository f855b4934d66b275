defmodule Sidewinder.Value.Misfit do
  @moduledoc """
  Where in a value something stands that cannot be carried.

  Encoders are fast because they do not remember where they are. When one gives up, the value is walked once more, slowly,
  to tell its owner the place: `users[3].born: a Date has no time: …`.
  """

  alias Sidewinder.Value.Bytes

  @doc "A sentence about the first thing that `refuse` has something against. `refuse` looks at one level only."
  @spec sentence(term, (term -> nil | String.t()), pos_integer) :: String.t()
  def sentence(value, refuse, depth_max) do
    case find(value, refuse, depth_max, []) do
      nil -> "the value cannot be carried"
      {[], what} -> what
      {path, what} -> "#{path |> Enum.reverse() |> Enum.join() |> String.trim_leading(".")}: #{what}"
    end
  end

  defp find(_value, _refuse, 0, path), do: {Enum.take(path, -3), "nested too deeply"}

  defp find(value, refuse, left, path) do
    case refuse.(value) do
      nil -> inside(value, refuse, left, path)
      what -> {path, what}
    end
  end

  defp inside(value, refuse, left, path) when is_list(value) do
    value
    |> Stream.with_index()
    |> Enum.find_value(fn {item, index} -> find(item, refuse, left - 1, ["[#{index}]" | path]) end)
  end

  defp inside(value, refuse, left, path) when is_map(value) and not is_struct(value) do
    Enum.find_value(value, fn {key, item} -> find(item, refuse, left - 1, [".#{key(key)}" | path]) end)
  end

  defp inside(_value, _refuse, _left, _path), do: nil

  defp key(key) when is_binary(key) or is_atom(key), do: key
  defp key(key), do: inspect(key, limit: 3)

  @doc "What is wrong with a value in every format, looking at its outermost level only."
  @spec plainly(term) :: nil | String.t()
  def plainly(value) when is_tuple(value), do: "a tuple has no counterpart: make it a list"

  def plainly(value) when is_bitstring(value) and not is_binary(value),
    do: "bits that are not whole bytes cannot be carried"

  def plainly(value) when is_binary(value) do
    if not String.valid?(value), do: "a binary that is not UTF-8: mark bytes with Sidewinder.Value.bytes/1"
  end

  def plainly(value) when is_function(value) or is_pid(value) or is_port(value) or is_reference(value),
    do: "#{inspect(value)} means nothing outside of this BEAM"

  def plainly(value) when is_list(value) do
    if :erlang.length(value) < 0, do: "never"
  rescue
    ArgumentError -> "an improper list"
  end

  def plainly(%Bytes{}), do: nil
  def plainly(%DateTime{}), do: nil
  def plainly(%module{}) when module in [NaiveDateTime, Date, Time], do: naive(module)

  def plainly(%module{}),
    do: "a #{inspect(module)} struct: say what is to be carried, by Map.from_struct/1 or a function of yours"

  def plainly(value) when is_map(value), do: keys(Map.keys(value))
  def plainly(_value), do: nil

  defp naive(module), do: "a #{inspect(module)} names no moment: send a DateTime, or text by to_iso8601/1"

  defp keys(keys) do
    odd = Enum.find(keys, &(not (is_binary(&1) or is_atom(&1) or is_number(&1))))
    twice = keys |> Enum.map(&text/1) |> then(&(&1 -- Enum.uniq(&1)))

    cond do
      odd != nil -> "the key #{inspect(odd, limit: 3)} is neither text nor atom nor number"
      twice != [] -> "the key #{inspect(hd(twice))} is there twice, as an atom and as text"
      true -> nil
    end
  end

  defp text(key) when is_atom(key) and key not in [nil, true, false], do: Atom.to_string(key)
  defp text(key), do: key
end
